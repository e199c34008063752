package history

import (
	"fmt"
	"time"
)

// A Deadline says from when a node has how long to show a change.
type Deadline struct {
	Name   string        // "propagation", "heal": for the report
	Since  time.Time     // zero: from the change's answer
	Within time.Duration // the bound
	Settle time.Duration // how long the new state must be looked at, and stay
	Poll   time.Duration // the poll interval, for the report
}

// Converged holds when the node shows the new state within the bound and is looked at for settle after it
// was first seen, in which it is not unseen again. It fails on a look that began after the bound and shows anything else,
// on one that shows neither the old state nor the new, and on a step back. The propagation is what was
// measured: an upper bound, to the end of the first look that shows the new state.
func Converged(entries []Entry, t Turn, node int, d Deadline) (Propagation, error) {
	since := d.Since
	if since.IsZero() {
		since = t.Answered
	}
	p := Propagation{Change: t.Change, Node: node, Bound: d.Within}
	expected := fmt.Sprintf("node %d to show %q within the %s bound of %v", node, t.New, d.Name, d.Within)
	var first, last Entry
	for _, look := range Probes(entries, node, t.Subject) {
		if look.Start.Before(t.Sent) {
			continue
		}
		last = look
		switch {
		case look.Shown == t.New:
			if first.End.IsZero() {
				first = look
			}
		case t.rank(look.Shown) < 0:
			return p, broke(t, look, since, d.Poll, fmt.Sprintf("node %d to show %q or %q and nothing else", node, t.Old, t.New))
		case look.Start.Sub(since) >= d.Within:
			return p, broke(t, look, since, d.Poll, expected)
		}
	}
	if first.End.IsZero() {
		return p, Doubtf("nobody looked at %q on node %d after the %s bound of %v", t.Subject, node, d.Name, d.Within)
	}
	p.After = max(first.End.Sub(t.Answered), 0)
	if d.Poll > 0 {
		p.Polls = float64(p.After) / float64(d.Poll)
	}
	if err := NeverBack(entries, t, node); err != nil {
		return p, err
	}
	if seen := last.End.Sub(first.End); seen < d.Settle {
		return p, Doubtf("%q was looked at on node %d for %v after it was first seen, not for %v", t.Subject, node, seen, d.Settle)
	}
	return p, nil
}
