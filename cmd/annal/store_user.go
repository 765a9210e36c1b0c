package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/annalhq/annal/eventstore/server/access"
	"github.com/annalhq/annal/internal/fault"
)

// storeUserCommand edits the file of users of the embedded event store. A store that runs takes the change over within two seconds.
func storeUserCommand(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "user", Short: "users of the embedded event store (docs/eventstore-access.md)"}
	file := c.PersistentFlags().String("file", "", "file of users; default ANNAL_EVENTSTORE_USERS_FILE")
	path := func() (string, error) {
		if *file != "" {
			return *file, nil
		}
		cfg, err := t.config()
		if err == nil && cfg.EventStoreUsers == "" {
			err = fault.New(fault.Invalid, "FLAG_INVALID", "say which file of users: --file FILE, or ANNAL_EVENTSTORE_USERS_FILE")
		}
		return cfg.EventStoreUsers, err
	}
	c.AddCommand(storeUserAdd(path), storeUserList(path), storeUserRemove(path))
	return group(c)
}

func storeUserAdd(path func() (string, error)) *cobra.Command {
	add := &cobra.Command{
		Use: "add NAME", Short: "add a user, or give one another password and other roles", Args: exactly(1, "one name"),
		Long: `Adds a user, or replaces the one of this name. The password is read from standard input: asked for on a terminal, otherwise the first
line. It is never an argument, which every process of the machine could read. --draw draws one and prints it.`,
		Example: "  annal store user add shop --role writer --file users\n  annal store user add relay --role reader --draw --file users",
	}
	role := add.Flags().String("role", "", "admin, writer, reader or ops; several with commas")
	draw := add.Flags().Bool("draw", false, "draw a password and print it")
	add.RunE = func(c *cobra.Command, args []string) error {
		where, err := path()
		if err != nil {
			return err
		}
		if *role == "" {
			return fault.New(fault.Invalid, "FLAG_INVALID", "say what the user may do: --role admin, writer, reader or ops")
		}
		password := []byte(rand.Text())
		if !*draw {
			if password, err = readPassword(c.InOrStdin(), c.ErrOrStderr()); err != nil {
				return err
			}
		}
		u, err := access.New(args[0], *role, password)
		if err != nil {
			return err
		}
		replaced, err := access.Put(where, u)
		if err != nil {
			return err
		}
		if *draw {
			fmt.Fprintf(c.OutOrStdout(), "%s\n", password)
		}
		what := "added"
		if replaced {
			what = "replaced; what it has open ends"
		}
		fmt.Fprintf(c.ErrOrStderr(), "user %s (%s) %s in %s\n", u.Name, u.Roles, what, filepath.Clean(where))
		return nil
	}
	return add
}

func storeUserList(path func() (string, error)) *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "names and roles", Args: exactly(0, "no arguments"), RunE: func(c *cobra.Command, _ []string) error {
		where, err := path()
		if err != nil {
			return err
		}
		users, err := access.List(where)
		if err != nil {
			return err
		}
		type shown struct {
			Name  string   `json:"name"`
			Roles []string `json:"roles"`
		}
		t := newTable()
		t.AppendHeader(table.Row{"name", "roles"})
		lines := make([]shown, 0, len(users))
		for _, u := range users {
			t.AppendRow(table.Row{u.Name, u.Roles})
			lines = append(lines, shown{u.Name, strings.Split(u.Roles, ",")})
		}
		return printTable(c.OutOrStdout(), t, lines)
	}}
}

func storeUserRemove(path func() (string, error)) *cobra.Command {
	return &cobra.Command{Use: "rm NAME", Short: "remove a user; what it has open ends", Args: exactly(1, "one name"), RunE: func(c *cobra.Command, args []string) error {
		where, err := path()
		if err != nil {
			return err
		}
		if err := access.Remove(where, args[0]); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "user %s removed from %s\n", args[0], filepath.Clean(where))
		return nil
	}}
}

// readPassword asks twice on a terminal, without showing what is typed, and takes the first line of anything else.
func readPassword(in io.Reader, prompts io.Writer) ([]byte, error) {
	unreadable := func(err error) error {
		return fault.Wrap(err, fault.Invalid, "PASSWORD_UNREADABLE", "no password could be read from standard input")
	}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		ask := func(prompt string) ([]byte, error) {
			fmt.Fprint(prompts, prompt)
			defer fmt.Fprintln(prompts)
			return term.ReadPassword(int(f.Fd()))
		}
		first, err := ask("password: ")
		if err != nil {
			return nil, unreadable(err)
		}
		second, err := ask("again: ")
		if err == nil && !bytes.Equal(first, second) {
			return nil, fault.New(fault.Invalid, "PASSWORD_UNFIT", "the two passwords differ")
		}
		return first, unreadable(err)
	}
	line, err := bufio.NewReader(io.LimitReader(in, 64<<10)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, unreadable(err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
