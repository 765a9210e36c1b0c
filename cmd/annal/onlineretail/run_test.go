package onlineretail

import (
	"context"
	"errors"
	"testing"
)

func TestAnInterruptedImportIsNotFinished(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := 0
	err := (&runner{}).each(ctx, 10, 1, func(context.Context, int) error {
		done++
		cancel() // while a step that goes well is on its way
		return nil
	})
	if !errors.Is(err, context.Canceled) || done == 10 {
		t.Errorf("%d steps done, %v", done, err)
	}
}
