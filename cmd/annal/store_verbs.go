package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/engine/admin"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
)

// A worker does an operation on the store of the settings: annald, if it has the store open, or this process.
type worker struct {
	cfg  config.Config
	req  admin.Request
	tell *teller
}

// work opens the store that nobody has open and calls here, or asks annald for the operation; both leave the result in result.
func work[T any](ctx context.Context, w worker, operation string, open func(string, engine.Config) (*engine.DB, error), here func(*engine.DB) (T, error)) (result T, err error) {
	dir := w.cfg.EventStoreDir
	db, err := open(dir, engine.Config{ReserveBytes: w.cfg.StoreReserve(), MustExist: true})
	if errors.Is(err, engine.ErrLocked) {
		w.tell.say("the store is open: asking annald at " + w.cfg.AdminListen)
		w.req.Directory = admin.Canonical(dir)
		err = admin.Call(ctx, w.cfg.AdminListen, operation, w.req, &result, w.tell.progress)
		return result, err
	}
	if err != nil {
		return result, err
	}
	w.tell.say("nobody has the store open: working on " + dir)
	result, err = here(db)
	return result, errors.Join(err, db.Close())
}

func storeStat(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "stat", Short: "position, sizes and free space", Args: exactly(0, "no arguments")}
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := t.config()
		if err != nil {
			return err
		}
		s, err := work(c.Context(), worker{cfg: cfg, tell: newTeller(c)}, "stat", engine.OpenReadOnly, func(db *engine.DB) (engine.Stat, error) { return db.Stat() })
		if err != nil {
			return err
		}
		return printResult(c, s, []pair{{"directory", s.Directory}, {"format", s.Format}, {"last position", s.Position}, {"scavenged events", s.Scavenged},
			{"tables", size(s.TableBytes)}, {"write-ahead log", size(s.LogBytes)}, {"all files", size(s.DiskBytes)}, {"free on the disk", size(s.FreeBytes)},
			{"kept free", size(s.ReserveBytes)}, {"appends refused", s.AppendsRefused}})
	}
	return c
}

func storeVerify(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "verify [BACKUP]", Short: "read all of the store, or of a backup, and compare log and index",
		Long: `Reads everything: every position has a sound record, every event its line in its stream's index, every line its event, revisions are without
holes. The store may be running. With a backup, every file is compared with its checksum as well. Exit status 1 and the first bad position say that it is damaged.`,
		Example: "  annal store verify\n  annal store verify nightly-2026-11-25",
		Args:    atMostOne("a backup")}
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := t.config()
		if err != nil {
			return err
		}
		tell := newTeller(c)
		var v engine.Verified
		if len(args) == 1 {
			v, err = engine.VerifyBackup(c.Context(), backupPath(cfg, args[0]), tell.step)
		} else {
			v, err = work(c.Context(), worker{cfg: cfg, tell: tell}, "verify", engine.OpenReadOnly, func(db *engine.DB) (engine.Verified, error) {
				return db.Verify(c.Context(), func(done, of engine.Position) { tell.step("verifying", uint64(done), uint64(of)) })
			})
		}
		if err != nil {
			return err
		}
		return printVerified(c, v)
	}
	return c
}

func printVerified(c *cobra.Command, v engine.Verified) error {
	return printResult(c, v, []pair{{"last position", v.Position}, {"events", v.Events}, {"scavenged", v.Scavenged}, {"streams", v.Streams},
		{"records", size(v.Bytes)}, {"digest of the history", v.Digest}})
}

func storeBackup(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "backup NAME", Short: "back the store up, or add to a backup what was appended since",
		Long: `Writes a backup below ANNAL_EVENTSTORE_BACKUPS while the store works. It has its name when it is complete. With --tail it adds to a backup that
is there what was appended since. On the store's own disk a backup is made of hard links: copy it to another machine. Damage is copied as well: run "annal store verify NAME" before
you delete an older backup.`,
		Example: "  annal store backup nightly-2026-11-25\n  annal store backup nightly-2026-11-25 --tail", Args: exactly(1, "one name")}
	tail := c.Flags().Bool("tail", false, "add to this backup what was appended since")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := t.config()
		if err != nil {
			return err
		}
		if err := admin.CheckName(args[0]); err != nil {
			return err
		}
		tell := newTeller(c)
		b, err := work(c.Context(), worker{cfg: cfg, tell: tell, req: admin.Request{Name: args[0], Tail: *tail}}, "backup", engine.Open, func(db *engine.DB) (admin.Backup, error) {
			return admin.TakeBackup(c.Context(), db, cfg.EventStoreBackups, args[0], *tail, tell.progress)
		})
		if err != nil {
			return err
		}
		return printResult(c, b, []pair{{"directory", b.Directory}, {"last position", b.Position}, {"added from position", b.First}, {"size", size(b.Bytes)}})
	}
	return c
}

func storeRestore(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "restore BACKUP", Short: "make a store from a backup, in an empty directory",
		Long: `Checks the backup, copies it into the directory, cuts it off at --to or goes on with what was added to it, and verifies the result. The directory
must be empty or missing: a store that is there is never overwritten. Stop annald first. Consumers that had seen events behind the restored position refuse to
run afterwards; docs/eventstore-operations.md says what to do with them.`,
		Example: "  annal store restore nightly-2026-11-25 --dry-run\n  annal store restore nightly-2026-11-25 --to 81233 --dir /var/lib/annal/eventstore",
		Args:    exactly(1, "one backup")}
	to := c.Flags().Uint64("to", 0, "the last position wanted (default the backup's last)")
	dir := c.Flags().String("dir", "", "where to (default ANNAL_EVENTSTORE_DIR)")
	dry := c.Flags().Bool("dry-run", false, "compare the backup with its checksums and look at the directory, write nothing")
	yes := c.Flags().Bool("yes", false, "don't ask")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := t.config()
		if err != nil {
			return err
		}
		if c.Flags().Changed("to") && *to == 0 {
			return fault.New(fault.Invalid, "FLAG_INVALID", "--to is a position, and positions begin at 1; leave it out to restore all that the backup has")
		}
		if *dir == "" {
			*dir = cfg.EventStoreDir
		}
		if !*dry {
			if err := confirm(c, *yes, "restore", "a store will be made in "+*dir); err != nil {
				return err
			}
		}
		tell := newTeller(c)
		done, err := engine.Restore(c.Context(), backupPath(cfg, args[0]), *dir, engine.RestoreConfig{To: engine.Position(*to), DryRun: *dry, Progress: tell.step})
		if err != nil {
			return err
		}
		if *dry {
			return printResult(c, done, []pair{{"would restore to position", done.Position}, {"the backup ends at", done.Backup}, {"into", *dir}})
		}
		return printResult(c, done, []pair{{"directory", *dir}, {"last position", done.Position}, {"the backup ends at", done.Backup}, {"events", done.Events},
			{"streams", done.Streams}, {"digest of the history", done.Digest}})
	}
	return c
}

func storeScavenge(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "scavenge", Short: "remove from the disk what metadata hides",
		Long: `Removes events that no reader of a stream can see: beyond $maxCount, older than $maxAge, before $tb, of deleted streams, superseded metadata. It can't be
undone, and backups taken before still have them. Streams of domain categories (order-..., payment-...) are never touched, whatever their metadata says: their
history is the shop's books. It may run while the store works, be interrupted, and be run again.`,
		Args: exactly(0, "no arguments")}
	dry := c.Flags().Bool("dry-run", false, "count, remove nothing")
	rate := c.Flags().Int("rate", 0, "events a second at most (default 20000)")
	yes := c.Flags().Bool("yes", false, "don't ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := t.config()
		if err != nil {
			return err
		}
		if *rate < 0 {
			return fault.New(fault.Invalid, "FLAG_INVALID", "--rate is a number of events, above 0")
		}
		if !*dry {
			if err := confirm(c, *yes, "scavenge", "what metadata hides will be removed from "+cfg.EventStoreDir+" for good"); err != nil {
				return err
			}
		}
		tell := newTeller(c)
		s, err := work(c.Context(), worker{cfg: cfg, tell: tell, req: admin.Request{DryRun: *dry, Rate: *rate}}, "scavenge", engine.Open, func(db *engine.DB) (engine.Scavenged, error) {
			return db.Scavenge(c.Context(), engine.ScavengeConfig{Keep: eventstore.Protected, DryRun: *dry, Rate: *rate,
				Progress: func(s engine.Scavenged) { tell.step("streams looked at", s.Streams, 0) }})
		})
		if err != nil {
			return err
		}
		what := "removed events"
		if *dry {
			what = "would remove events"
		}
		return printResult(c, s, []pair{{"streams looked at", s.Streams}, {"streams concerned", s.Swept}, {"protected streams left alone", s.Kept}, {what, s.Events},
			{"their records", size(s.Bytes)}, {"tables before", size(s.DiskBefore)}, {"tables after", size(s.DiskAfter)}})
	}
	return c
}

// backupPath finds a backup by its name, or by its path.
func backupPath(cfg config.Config, said string) string {
	if strings.ContainsRune(said, filepath.Separator) {
		return said
	}
	return filepath.Join(cfg.EventStoreBackups, said)
}

func atMostOne(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fault.Newf(fault.Invalid, "ARGUMENTS", "%s takes %s or nothing; see --help", c.CommandPath(), what)
		}
		return nil
	}
}

func size(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}
