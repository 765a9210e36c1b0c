package main

import "github.com/spf13/cobra"

func storeCommand(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "the event store as a whole: copy; of the embedded one also backup, restore, verify, scavenge, stat, user",
		Long: `The event store as a whole. All but copy and user are for the embedded store in ANNAL_EVENTSTORE_DIR: if annald has it open, annald does the work, asked at
ANNAL_ADMIN_LISTEN; if nobody has, annal does it. Backups are kept in ANNAL_EVENTSTORE_BACKUPS. docs/eventstore-operations.md says what to do when.`}
	c.AddCommand(copyCommand(t), storeStat(t), storeVerify(t), storeBackup(t), storeRestore(t), storeScavenge(t), storeUserCommand(t))
	return c
}
