package history

import (
	"fmt"
	"time"
)

// NotEarlier holds when a node shows nothing but the old state until the delay has passed since the change.
// The change lies between Sent and Answered, so only looks that ended before Sent + delay prove
// anything. Gap is how long nobody may have looked (0: not asked for).
func NotEarlier(entries []Entry, t Turn, node int, delay, gap time.Duration) error {
	w := Window{From: t.Answered, To: t.Sent.Add(delay), Gap: gap}
	if !w.To.After(w.From) {
		return Doubtf("%q took %v to be made, longer than the %v that it has to wait", t.Change, t.Answered.Sub(t.Sent), delay)
	}
	looks := inside(Probes(entries, node, t.Subject), w)
	for _, p := range looks {
		if p.Shown != t.Old {
			return broke(t, p, t.Answered, 0, fmt.Sprintf("node %d not to show %q earlier than %v after it was made", node, t.Change, delay))
		}
	}
	return covered(looks, t.Subject, node, w)
}
