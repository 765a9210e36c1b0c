package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/access"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/fault"
)

// typed runs a command line with something on standard input.
func typed(t *testing.T, input string, environ []string, line ...string) (out string, err error) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if _, err := write.WriteString(input); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	old := os.Stdin
	os.Stdin = read
	defer func() { os.Stdin = old }()
	var stdout, stderr bytes.Buffer
	err = execute(t.Context(), line, environ, &stdout, &stderr)
	if words := strings.Fields(input); len(words) > 0 && strings.Contains(stderr.String()+stdout.String(), words[0]) {
		t.Errorf("%q shows the password", line)
	}
	return stdout.String(), err
}

func TestUsersOfTheStoreAreMadeListedAndRemoved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	environ := []string{"ANNAL_MODE=production", "ANNAL_HOME=" + t.TempDir()}
	do := func(input string, line ...string) (string, error) {
		return typed(t, input, environ, append([]string{"store", "user"}, append(line, "--file", file)...)...)
	}
	if _, err := do("correct-horse-battery\r\nsecond line\n", "add", "shop", "--role", "writer,ops"); err != nil {
		t.Fatal(err)
	}
	drawn, err := do("", "add", "relay", "--role", "reader", "--draw")
	if err != nil || len(strings.TrimSpace(drawn)) < 20 {
		t.Fatalf("%q %v", drawn, err)
	}
	if out, err := do("", "ls"); err != nil || out != `{"name":"shop","roles":["writer","ops"]}`+"\n"+`{"name":"relay","roles":["reader"]}`+"\n" {
		t.Errorf("%q %v", out, err)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "correct") || strings.Contains(string(text), strings.TrimSpace(drawn)) {
		t.Errorf("a password is in the file: %v", err)
	}
	for code, line := range map[string][]string{
		"PASSWORD_UNFIT": {"add", "short", "--role", "reader"}, "ROLE_UNKNOWN": {"add", "x", "--role", "king", "--draw"},
		"USER_NAME": {"add", "a:b", "--role", "reader", "--draw"}, "FLAG_INVALID": {"add", "x", "--draw"},
		"STORE_USER_MISSING": {"rm", "eve"}, "ARGUMENTS": {"add"}, "VERB_UNKNOWN": {"frob"},
	} {
		if _, err := do("short\n", line...); fault.CodeOf(err) != code {
			t.Errorf("%q: %v", line, err)
		}
	}
	if _, err := typed(t, "", environ, "store", "user", "ls"); fault.CodeOf(err) != "FLAG_INVALID" {
		t.Error(err)
	}
	if _, err := do("", "rm", "relay"); err != nil {
		t.Fatal(err)
	}
	if users, err := access.List(file); err != nil || len(users) != 1 {
		t.Error(users, err)
	}
}

// The tool itself speaks to a store with TLS and users, by the URL alone.
func TestTheToolReadsFromAStoreWithUsers(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("shop", "writer"))
	c, err := eventstore.Open(s.As("shop"), eventstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Append(t.Context(), "order-1", eventstore.NoStream, []eventstore.Event{{ID: [16]byte{1}, Type: "order.placed.v1", Data: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	environ := func(url string) []string {
		return []string{"ANNAL_MODE=production", "ANNAL_HOME=" + t.TempDir(), "ANNAL_EVENTSTORE_URL=" + url}
	}
	if out, err := typed(t, "", environ(s.As("shop")), "streams", "read", "order-1"); err != nil || !strings.Contains(out, "order.placed.v1") {
		t.Errorf("%q %v", out, err)
	}
	if _, err := typed(t, "", environ(s.With("shop", "wrong password")), "streams", "read", "order-1"); fault.CodeOf(err) != "STORE_CREDENTIALS" {
		t.Error(err)
	}
}
