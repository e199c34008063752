package history

import (
	"fmt"
	"time"
)

// A Window is the time in which an absence is judged. Looks must cover it: where none was under way for
// longer than Gap, what was not seen may have happened.
type Window struct {
	From, To time.Time
	Gap      time.Duration // 0: coverage is not asked for
}

// Steady holds when every look at a subject that began inside the window shows one state: an unchanged
// route never flickers, a stale node stays stale.
func Steady(entries []Entry, subject string, node int, shown string, w Window) error {
	looks := inside(Probes(entries, node, subject), w)
	for _, p := range looks {
		if p.Shown != shown {
			return broke(Turn{}, p, w.From, 0, fmt.Sprintf("%q on node %d to show %q all the time", subject, node, shown))
		}
	}
	return covered(looks, subject, node, w)
}

// inside returns the looks that lie in the window with both ends.
func inside(probes []Entry, w Window) []Entry {
	var in []Entry
	for _, p := range probes {
		if !p.Start.Before(w.From) && !p.End.After(w.To) {
			in = append(in, p)
		}
	}
	return in
}

// covered returns a doubt when nobody looked, or not for longer than the window's gap.
func covered(looks []Entry, subject string, node int, w Window) error {
	if len(looks) == 0 {
		return Doubtf("nobody looked at %q on node %d in the %v of the window", subject, node, w.To.Sub(w.From))
	}
	if w.Gap <= 0 {
		return nil
	}
	at := w.From
	for _, p := range append(looks, Entry{Start: w.To, End: w.To}) {
		if missing := p.Start.Sub(at); missing > w.Gap {
			return Doubtf("nobody looked at %q on node %d for %v, from %v after the window began", subject, node, missing, at.Sub(w.From))
		}
		if p.End.After(at) {
			at = p.End
		}
	}
	return nil
}
