package main

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatTakesLongIsToldAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		print := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
		over := tellTo(print, "quick")
		time.Sleep(900 * time.Millisecond) // of the bubble's clock
		over()
		over = tellTo(print, "building; that takes minutes")
		time.Sleep(40 * time.Second)
		over()
		time.Sleep(time.Minute)
		if want := []string{"building; that takes minutes", "still building (16 s)", "still building (31 s)"}; !slices.Equal(lines, want) {
			t.Errorf("%q", lines)
		}
	})
}
