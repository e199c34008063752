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
	Gap    time.Duration // for how long nobody may have looked where it matters; 0: not asked for
}

// Converged holds when the node shows the new state within the bound and is looked at for settle after it
// was first seen, in which it is not unseen again. It fails on a look that began after the bound and shows anything else,
// on one that shows a state that was never made, and on one that no longer shows the new state. It is a doubt where the
// new state was seen after the bound and nobody had looked for longer than gap before that. The propagation is what was measured: an upper bound, to the end of the first look that shows the new state.
func Converged(entries []Entry, t Turn, node int, d Deadline) (Propagation, error) {
	since := d.Since
	if since.IsZero() {
		since = t.Answered
	}
	p := Propagation{Change: t.Change, Node: node, Bound: d.Within}
	expected := fmt.Sprintf("node %d to show %q within the %s bound of %v", node, t.New, d.Name, d.Within)
	var first Entry
	var settling []Entry
	looked := since // until then somebody had looked before the new state was seen
	for _, look := range Probes(entries, node, t.Subject) {
		if look.Start.Before(t.Sent) {
			continue
		}
		switch rank := t.rank(look.Shown); {
		case look.Shown == t.New:
			if first.End.IsZero() {
				first = look
			}
			settling = append(settling, look)
			continue
		case rank < 0:
			return p, broke(t, look, since, d.Poll, fmt.Sprintf("node %d to show %q or %q and nothing else", node, t.Old, t.New))
		case !first.End.IsZero() && !look.Start.Before(first.End):
			return p, broke(t, look, since, d.Poll, fmt.Sprintf("node %d not to unsee %q", node, t.New))
		case look.Start.Sub(since) >= d.Within:
			return p, broke(t, look, since, d.Poll, expected)
		}
		if look.End.After(looked) {
			looked = look.End
		}
	}
	if first.End.IsZero() {
		return p, Doubtf("nobody looked at %q on node %d after the %s bound of %v", t.Subject, node, d.Name, d.Within)
	}
	p.After = max(first.End.Sub(t.Answered), 0)
	if d.Poll > 0 {
		p.Polls = float64(p.After) / float64(d.Poll)
	}
	if blind := first.End.Sub(looked); d.Gap > 0 && first.End.Sub(since) > d.Within && blind > d.Gap {
		return p, Doubtf("nobody looked at %q on node %d for %v around the end of the %s bound of %v", t.Subject, node, blind, d.Name, d.Within)
	}
	return p, settled(settling, t, node, d)
}

// settled returns a doubt where the new state was not looked at for long enough without a hole. After a hole the node
// has to settle anew: what it showed meanwhile nobody knows.
func settled(looks []Entry, t Turn, node int, d Deadline) error {
	from, until, longest := looks[0].End, looks[0].End, time.Duration(0)
	for _, look := range looks {
		if d.Gap > 0 && look.End.Sub(until) > d.Gap {
			from = look.End
		}
		if look.End.After(until) {
			until = look.End
		}
		longest = max(longest, until.Sub(from))
	}
	if longest < d.Settle {
		return Doubtf("%q was looked at on node %d without a hole for %v after it was first seen, not for %v", t.Subject, node, longest, d.Settle)
	}
	return nil
}
