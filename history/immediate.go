package history

import (
	"fmt"
	"time"
)

// Immediate holds when the writer shows the change from the very next request on: every look that began
// within or more after the answer shows the new state. Without such a look there is a doubt.
func Immediate(entries []Entry, t Turn, writer int, within time.Duration) error {
	from := t.Answered.Add(within)
	looked := false
	for _, p := range Probes(entries, writer, t.Subject) {
		if p.Start.Before(from) {
			continue
		}
		looked = true
		if p.Shown != t.New {
			return broke(t, p, t.Answered, 0, fmt.Sprintf("node %d to show %q from the very next request on", writer, t.New))
		}
	}
	if !looked {
		return Doubtf("nobody looked at %q on node %d after %q", t.Subject, writer, t.Change)
	}
	return nil
}

// broke words a look that breaks a guarantee about a turn.
func broke(t Turn, p Entry, since time.Time, poll time.Duration, expected string) *Violation {
	actual := fmt.Sprintf("%q", p.Shown)
	if p.Detail != "" {
		actual += " (" + p.Detail + ")"
	}
	v := &Violation{
		Statement: t.Statement, Expected: expected, Actual: actual, Request: p.Request,
		Node: p.Node, SinceChange: p.Start.Sub(since),
	}
	if poll > 0 {
		v.Polls = float64(v.SinceChange) / float64(poll)
	}
	return v
}
