package history

import (
	"fmt"
	"time"
)

// tooSoon is by how much a wait may be shorter, for clocks and rounding. That a try arrives takes time, so
// what is seen here is never shorter than what was waited.
const tooSoon = 5 * time.Millisecond

// gaps returns the times between the end of each try and the beginning of the next.
func gaps(tries []Arrival) []time.Duration {
	var all []time.Duration
	for i := 1; i < len(tries); i++ {
		if end := tries[i-1].To; !end.IsZero() {
			all = append(all, tries[i].From.Sub(end))
		}
	}
	return all
}

// Doubling holds when the waits between the tries of one batch are first, twice that, and so on up to
// longest (0: no limit), each longer only by the tolerance. At least three waits have to be there.
func Doubling(tries []Arrival, first, longest, tolerance time.Duration) error {
	all := gaps(tries)
	if len(all) < 3 {
		return Doubtf("%d waits between %d tries do not show whether they double", len(all), len(tries))
	}
	due := first
	for i, wait := range all {
		if longest > 0 {
			due = min(due, longest)
		}
		if wait < due-tooSoon || wait > due+tolerance {
			return &Violation{Expected: fmt.Sprintf("wait %d between two tries to be %v", i+1, due), Actual: wait.String()}
		}
		due *= 2
	}
	return nil
}

// NoWaitAbove holds when no wait between two tries of a batch was longer than longest, or longer only by the tolerance.
// At least one has to be there.
func NoWaitAbove(tries []Arrival, longest, tolerance time.Duration) error {
	all := gaps(tries)
	if len(all) == 0 {
		return &Violation{Expected: fmt.Sprintf("a second try after %v at the latest", longest), Actual: fmt.Sprintf("%d tries", len(tries))}
	}
	for _, wait := range all {
		if wait > longest+tolerance {
			return &Violation{Expected: fmt.Sprintf("no wait between two tries above %v", longest), Actual: wait.String()}
		}
	}
	return nil
}
