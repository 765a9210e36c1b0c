package projections_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/projections"
)

func TestAHistoryGivesTheSameTablesInWhateverBatches(t *testing.T) {
	t.Parallel()
	ctx, h := context.Background(), shop(t, seeded(1), 30)
	want := rebuilt(t, h)
	if strings.Count(want, "\n") < 60 {
		t.Fatalf("too little to compare:\n%s", want)
	}
	for _, size := range []int{1, 7, 10_000} {
		pool := database(t)
		if err := projector(t, pool, h, projections.Config{History: h.read(size)}).RunToEnd(ctx); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tables(t, pool, all(t))); diff != "" {
			t.Fatalf("batches of %d:\n%s", size, diff)
		}
	}
}
