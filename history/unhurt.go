package history

import (
	"slices"
	"time"
)

// enough is how many answers on either side make a median that means something.
const enough = 2000

// Unhurt holds when answers beside a disturbance take no longer than answers without it: medians up to a
// quarter apart are the machine's, twice as long is hurt, and what lies between cannot be said.
func Unhurt(sound, disturbed []time.Duration) error {
	if len(sound) < enough || len(disturbed) < enough {
		return Doubtf("%d and %d answers are too few to compare", len(sound), len(disturbed))
	}
	without, with := median(sound), median(disturbed)
	switch {
	case with*4 <= without*5:
		return nil
	case with < 2*without:
		return Doubtf("a median of %v beside one of %v says neither", with, without)
	}
	return &Violation{Expected: "answers as fast as without: a median of " + without.String(), Actual: with.String()}
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
