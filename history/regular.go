package history

import (
	"fmt"
	"time"
)

// Regular holds when a node polled at its interval and skipped none: between two polls, and between a poll
// and either end of the window, lies one interval, give or take the tolerance.
func Regular(polls []time.Time, node int, interval, tolerance time.Duration, w Window) error {
	expected := fmt.Sprintf("node %d to poll once in every %v", node, interval)
	last, seen := w.From, 0
	for _, at := range polls {
		if at.Before(w.From) || at.After(w.To) {
			continue
		}
		gap := at.Sub(last)
		if gap > interval+tolerance || seen > 0 && gap < interval-tolerance {
			return &Violation{Expected: expected, Actual: fmt.Sprintf("%v between two polls", gap), Node: node, Polls: float64(gap) / float64(interval)}
		}
		last = at
		seen++
	}
	if gap := w.To.Sub(last); gap > interval+tolerance {
		return &Violation{Expected: expected, Actual: fmt.Sprintf("none for %v", gap), Node: node, Polls: float64(gap) / float64(interval)}
	}
	return nil
}
