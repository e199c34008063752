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

// Coalesced holds when the first delivery left delay after its first entry was made: not earlier, and later
// only by the tolerance. The entry was made at some instant between sent and answered.
func Coalesced(arrivals []Arrival, sent, answered time.Time, delay, tolerance time.Duration) error {
	if len(arrivals) == 0 {
		return Doubtf("nothing was delivered that could have waited for its batch")
	}
	first := arrivals[0].From
	expected := fmt.Sprintf("a batch that does not fill to leave %v after its first entry", delay)
	if early := first.Sub(sent); early < delay {
		return &Violation{Expected: expected, Actual: fmt.Sprintf("after %v at most", early), SinceChange: early}
	}
	if late := first.Sub(answered); late > delay+tolerance {
		return &Violation{Expected: expected, Actual: fmt.Sprintf("after %v at least", late), SinceChange: late}
	}
	return nil
}
