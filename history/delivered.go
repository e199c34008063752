package history

import (
	"fmt"
	"slices"
)

// A Delivery is what has to be delivered, and how.
type Delivery struct {
	Entries []string // all of them and no other, in this order where InOrder is set
	InOrder bool
	Again   bool // more than once is allowed
}

// Delivered holds when exactly these entries were delivered, each in an arrival that was answered well.
// In order means: each for the first time after all those before it.
func Delivered(arrivals []Arrival, d Delivery) error {
	got, times := []string(nil), map[string]int{}
	for _, a := range good(arrivals) {
		for _, e := range a.Entries {
			if times[e]++; times[e] == 1 {
				got = append(got, e)
			}
		}
	}
	for _, e := range d.Entries {
		switch {
		case times[e] == 0:
			return &Violation{Expected: fmt.Sprintf("request %s to be delivered", e), Actual: fmt.Sprintf("%d others and not this one", len(got))}
		case times[e] > 1 && !d.Again:
			return &Violation{Expected: fmt.Sprintf("request %s to be delivered once", e), Actual: fmt.Sprintf("%d times", times[e])}
		}
	}
	for i, e := range got {
		if !slices.Contains(d.Entries, e) {
			return &Violation{Expected: "no other request to be delivered", Actual: "request " + e}
		}
		if d.InOrder && d.Entries[i] != e {
			return &Violation{Expected: "requests in the order in which they were sent", Actual: fmt.Sprintf("request %s where %s was due", e, d.Entries[i])}
		}
	}
	return nil
}
