package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// installScript runs as root with the package names as arguments.
//
//go:embed install.sh
var installScript string

// programs says where the servers' programs are; an empty folder means not installed.
type programs struct {
	postgres string // holds initdb, pg_ctl, postgres
	rabbit   string // the library folder's sbin: never the wrapper on PATH, which would leave an epmd on all addresses
}

func findPrograms() programs {
	return programs{postgres: findPostgres(), rabbit: findRabbit()}
}

// findPostgres prefers the newest version; a plain Debian has none of its programs on PATH.
func findPostgres() string {
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/usr/pgsql-*/bin"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // only a malformed pattern gives an error
		}
		dirs = append(dirs, found...)
	}
	sort.Slice(dirs, func(i, j int) bool { return versionIn(dirs[i]) > versionIn(dirs[j]) })
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, dir := range dirs {
		if runnable(dir, "initdb", "pg_ctl", "postgres", "createdb", "pg_isready") {
			return dir
		}
	}
	return ""
}

func versionIn(path string) int {
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(part); err == nil {
			return n
		}
	}
	return 0
}

func findRabbit() string {
	for _, pattern := range []string{"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			continue // only a malformed pattern gives an error
		}
		if dir := found[len(found)-1]; runnable(dir, "rabbitmq-server", "rabbitmqctl") {
			return dir
		}
	}
	return ""
}

func runnable(dir string, names ...string) bool {
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// install brings what is missing and says so before it does.
func install(ctx context.Context, logfile string, needPostgres, needRabbit bool) (programs, error) {
	found := findPrograms()
	var missing []string
	if needPostgres && found.postgres == "" {
		missing = append(missing, "postgresql")
	}
	if needRabbit && found.rabbit == "" {
		missing = append(missing, "rabbitmq-server")
	}
	if len(missing) == 0 {
		return found, nil
	}
	if err := during(ctx, "installing "+strings.Join(missing, " and "), installPackages(ctx, logfile, missing)); err != nil {
		return found, err
	}
	found = findPrograms()
	if (needPostgres && found.postgres == "") || (needRabbit && found.rabbit == "") {
		return found, fmt.Errorf("%s installed, but the programs were not found where they are expected", strings.Join(missing, " and "))
	}
	return found, nil
}

func installPackages(ctx context.Context, logfile string, packages []string) error {
	say("missing on this machine: %s", strings.Join(packages, ", "))
	if _, err := exec.LookPath("apt-get"); err == nil {
		return installApt(ctx, logfile, packages)
	}
	if _, err := exec.LookPath("brew"); err == nil && runtime.GOOS == "darwin" {
		for i, name := range packages {
			packages[i] = strings.TrimSuffix(name, "-server")
		}
		return loud(exec.CommandContext(ctx, "brew", append([]string{"install"}, packages...)...))
	}
	return errors.New("no apt-get and no brew here: install PostgreSQL 15 or newer and RabbitMQ 3.10 or newer by hand, or start them with\n" +
		"  docker compose -f deploy/compose.yaml up -d postgres rabbitmq\n" +
		"and set ANNAL_POSTGRES_URL, ANNAL_RABBITMQ_URL and ANNAL_RABBITMQ_MANAGEMENT_URL as written at the top of that file")
}

func installApt(ctx context.Context, logfile string, packages []string) error {
	script := append([]string{"/bin/sh", "-c", installScript, "install"}, packages...)
	if os.Geteuid() == 0 {
		say("installing them with apt-get")
		return logged(logfile, exec.CommandContext(ctx, script[0], script[1:]...))
	}
	byHand := fmt.Errorf("installing needs root; run this and try again:\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends %s", strings.Join(packages, " "))
	if _, err := exec.LookPath("sudo"); err != nil {
		return byHand
	}
	if onTerminal() {
		fmt.Printf("install them with sudo apt-get? [y/N] ")
		answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y") {
			return byHand
		}
		return logged(logfile, exec.CommandContext(ctx, "sudo", script...))
	}
	// Nobody can be asked (CI): only a sudo that asks for no password may go on.
	if exec.CommandContext(ctx, "sudo", "-n", "true").Run() != nil {
		return byHand
	}
	say("installing them with sudo apt-get")
	return logged(logfile, exec.CommandContext(ctx, "sudo", append([]string{"-n"}, script...)...))
}

// logged keeps a package manager's hundreds of lines in a file and shows their end if it fails. sudo asks for its
// password on the terminal itself.
func logged(logfile string, cmd *exec.Cmd) error {
	log, err := os.Create(logfile)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // only for people to read
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, log, log
	// A package manager that is killed leaves its database locked: it is asked, and has a minute.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	defer telling("installing (" + logfile + " has what apt-get says)")()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("installing: %w; the end of %s:\n%s", err, logfile, tail(logfile, 0, 15))
	}
	return nil
}

func onTerminal() bool {
	info, err := os.Stdin.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != ""
}

func loud(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args[:min(2, len(cmd.Args))], " "), err)
	}
	return nil
}
