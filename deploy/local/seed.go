package main

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// sample is what a fresh home imports; SAMPLE names another file, or `none`.
const sample = "deploy/local/sample/online-retail-sample.csv.gz"

// The tokens of tokens.env are good for a quarter and drawn anew after a month: what somebody pasted stays good for a while.
const (
	tokensGood  = 90 * 24 * time.Hour
	tokensFresh = 30 * 24 * time.Hour
)

// tokens are who the README's session speaks as. The names have no prefix ANNAL_: annald refuses settings it does not know.
var tokens = [][]string{
	{"CUSTOMER_TOKEN", "--kind", "customer", "--id", "c-anna", "--role", "customer"},
	{"ADMIN_TOKEN", "--kind", "staff", "--id", "local-admin", "--role", "admin"},
	{"SERVICE_TOKEN", "--kind", "service", "--id", "local-service", "--role", "service"},
}

// seed runs when annald is ready and before `ready` is printed: it gives a fresh home its tokens and the sample of real
// orders. It is called at every start; a step that finds its work done costs a few file reads. Only a developer's machine with
// all roles is seeded.
func seed(ctx context.Context, h *home) error {
	if or(os.Getenv("ANNAL_MODE"), "development") != "development" || or(os.Getenv("ROLES"), "all") != "all" {
		return nil
	}
	if err := h.seedTokens(ctx); err != nil {
		return err
	}
	file := or(os.Getenv("SAMPLE"), sample)
	if file == "none" {
		return nil
	}
	return h.seedSample(ctx, file)
}

func (h *home) seedTokens(ctx context.Context) error {
	path := h.path("tokens.env")
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) < tokensFresh {
		return nil
	}
	var text strings.Builder
	text.WriteString("# bearer tokens of this home, for `. " + path + "`; made by `make run` and `make start`\n")
	for _, t := range tokens {
		cmd, err := h.annal(ctx, append([]string{"token", "issue", "--for", tokensGood.String()}, t[1:]...)...)
		if err != nil {
			return err
		}
		cmd.Stderr = os.Stderr
		token, err := cmd.Output()
		if err := during(ctx, "drawing tokens", err); err != nil {
			return fmt.Errorf("issuing %s: %w", t[0], err)
		}
		fmt.Fprintf(&text, "%s=%s\n", t[0], strings.TrimSpace(string(token)))
	}
	return writeFile(path, []byte(text.String()), 0o600)
}

// seedSample imports a file unless its report says that this was done. An import that was cut off goes on.
func (h *home) seedSample(ctx context.Context, file string) error {
	digest, err := digestOf(file)
	if err != nil {
		return fmt.Errorf("the sample: %w (SAMPLE=none starts without one)", err)
	}
	done, err := h.imported(digest)
	if err != nil || done {
		return err
	}
	defer telling("importing a sample of real orders: " + filepath.Base(file))()
	cmd, err := h.annal(ctx, "import", "online-retail", file)
	if err != nil {
		return err
	}
	if _, err := output(cmd); err != nil {
		if err := during(ctx, "importing the sample of orders", err); errors.As(err, new(cut)) {
			return err
		}
		return fmt.Errorf("importing the sample: %w (SAMPLE=none starts without one)", err)
	}
	return nil
}

// imported reads the report that `annal import` left for a file.
func (h *home) imported(digest string) (bool, error) {
	text, err := os.ReadFile(h.path("imports", digest+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var report struct {
		Finished bool `json:"finished"`
	}
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	return report.Finished, err
}

// digestOf is the name of a file's report: of what is in it, not of its compressed form.
func digestOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	var text io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if text, err = gzip.NewReader(f); err != nil {
			return "", err
		}
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, text); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// annal is a call of the operator's tool with the settings that annald got.
func (h *home) annal(ctx context.Context, args ...string) (*exec.Cmd, error) {
	binary, err := filepath.Abs("bin/annal")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends what it began, and the next call goes on there
	cmd.WaitDelay = drain
	cmd.Env, err = h.daemonEnv()
	return cmd, err
}
