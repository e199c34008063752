package history

import (
	"fmt"
	"slices"
	"time"
)

// Batches holds when what was delivered came in batches of these sizes, in this order.
func Batches(arrivals []Arrival, sizes []int) error {
	var got []int
	for _, a := range good(arrivals) {
		got = append(got, len(a.Entries))
	}
	if !slices.Equal(got, sizes) {
		return &Violation{Expected: fmt.Sprintf("batches of %v", sizes), Actual: fmt.Sprint(got)}
	}
	return nil
}

// A Made says when an entry came into being: at some instant between the request that it is about being sent
// and being answered.
type Made struct{ Sent, Answered time.Time }

// Coalesced holds when each delivery of fewer than full entries left delay after the first of them was taken,
// not earlier, and later only by the tolerance. An entry is taken when it is made or, where another delivery is under
// way, at that one's end.
func Coalesced(arrivals []Arrival, made map[string]Made, full int, delay, tolerance time.Duration) error {
	var before time.Time
	for _, a := range good(arrivals) {
		first, known := made[a.mark()]
		if !known {
			return Doubtf("when request %s was made is not known", a.mark())
		}
		earliest, latest := later(first.Sent, before), later(first.Answered, before)
		before = a.To
		if len(a.Entries) >= full {
			continue
		}
		expected := fmt.Sprintf("the batch that begins with request %s to leave %v after it was taken", a.mark(), delay)
		if took := a.From.Sub(earliest); took < delay {
			return &Violation{Expected: expected, Actual: fmt.Sprintf("after %v at most", took), SinceChange: took}
		}
		if took := a.From.Sub(latest); took > delay+tolerance {
			return &Violation{Expected: expected, Actual: fmt.Sprintf("after %v at least", took), SinceChange: took}
		}
	}
	if before.IsZero() {
		return Doubtf("nothing was delivered that could have waited for its batch")
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
