package history

import (
	"fmt"
	"slices"
	"time"
)

// An Arrival is one request that a receiver of logs got, with the marks of the entries that it carried.
type Arrival struct {
	From, To time.Time // it began to arrive; it was answered, or left so. A zero To: it is in flight
	Entries  []string
	Digest   string // equal for equal bodies
	Path     string
	Good     bool // answered so that the sender may forget it
}

// mark names an arrival by the first entry that it carried.
func (a Arrival) mark() string {
	if len(a.Entries) == 0 {
		return "nothing"
	}
	return a.Entries[0]
}

// good returns those that were answered well.
func good(arrivals []Arrival) []Arrival {
	return slices.DeleteFunc(slices.Clone(arrivals), func(a Arrival) bool { return !a.Good })
}

// Tries returns all arrivals of the batch that begins with an entry.
func Tries(arrivals []Arrival, entry string) []Arrival {
	return slices.DeleteFunc(slices.Clone(arrivals), func(a Arrival) bool { return a.mark() != entry })
}

// Silent holds when nothing began to arrive inside the window.
func Silent(arrivals []Arrival, w Window) error {
	for _, a := range arrivals {
		if a.From.After(w.From) && a.From.Before(w.To) {
			return &Violation{Expected: fmt.Sprintf("the log server to get nothing for %v", w.To.Sub(w.From)), Actual: "request " + a.mark(), SinceChange: a.From.Sub(w.From)}
		}
	}
	return nil
}
