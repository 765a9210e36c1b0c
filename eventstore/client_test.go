package eventstore_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/annalhq/annal/eventstore/eventstoretest"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContractWithTheEmbeddedServer(t *testing.T) {
	eventstoretest.Run(t, func(t *testing.T) string { return servertest.Start(t) })
}

func TestContractWithAStoreOfOnesOwn(t *testing.T) {
	url := os.Getenv("ANNAL_TEST_EVENTSTORE_URL")
	if url == "" {
		t.Skip("ANNAL_TEST_EVENTSTORE_URL names no EventStoreDB")
	}
	eventstoretest.Run(t, func(*testing.T) string { return url })
}
