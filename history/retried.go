package history

import (
	"fmt"
	"time"
)

// Unchanged holds when each try of a batch carried what the first had carried, byte for byte.
func Unchanged(arrivals []Arrival) error {
	first := map[string]Arrival{}
	for _, a := range arrivals {
		if len(a.Entries) == 0 { // it broke off before it was read
			continue
		}
		was, again := first[a.mark()]
		if again && was.Digest != a.Digest {
			return &Violation{Expected: "each try of a batch to carry the same body", Actual: fmt.Sprintf("%d entries after %d in the batch that begins with request %s", len(a.Entries), len(was.Entries), a.mark())}
		}
		if !again {
			first[a.mark()] = a
		}
	}
	return nil
}

// OneAfterTheOther holds when a batch was tried until it was delivered or given up, and only then the next:
// no batch comes back once another one was tried.
func OneAfterTheOther(arrivals []Arrival) error {
	done, current := map[string]bool{}, ""
	for _, a := range arrivals {
		if len(a.Entries) == 0 || a.mark() == current {
			continue
		}
		if done[a.mark()] {
			return &Violation{Expected: "nothing to be sent while a batch is tried again", Actual: fmt.Sprintf("request %s between two tries of request %s", current, a.mark())}
		}
		done[current], current = true, a.mark()
	}
	return nil
}

// Earliest is the moment before which the first of these tries cannot have begun: its request was sent then,
// or the delivery before it, of the same queue, had come to its end.
func Earliest(arrivals, tries []Arrival, sent time.Time) time.Time {
	for _, a := range arrivals {
		if len(tries) > 0 && !a.To.After(tries[0].From) && a.To.After(sent) {
			sent = a.To
		}
	}
	return sent
}

// Budgeted holds when a batch was tried for its whole budget, counted from its own first try, and not much
// longer: the last try comes one wait after the budget at the latest. Waits are at most longest. A try begins
// before it arrives: the first one no earlier than the given moment, see [Earliest].
func Budgeted(tries []Arrival, earliest time.Time, budget, longest, tolerance time.Duration) error {
	if len(tries) == 0 {
		return Doubtf("a batch that was never tried shows no budget")
	}
	last := tries[len(tries)-1].From
	took := last.Sub(tries[0].From)
	if last.Sub(earliest) < budget-tooSoon || took > budget+longest+tolerance {
		return &Violation{Expected: fmt.Sprintf("request %s to be tried for %v and given up soon after", tries[0].mark(), budget), Actual: fmt.Sprintf("tries for %v", took), SinceChange: took}
	}
	return nil
}
