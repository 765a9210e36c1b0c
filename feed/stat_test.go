package feed

import (
	"slices"
	"time"
)

func median(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }
func worst(d []time.Duration) time.Duration  { return slices.Max(d) }
