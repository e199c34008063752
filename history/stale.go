package history

import "fmt"

// Stale holds when a node shows the old state at every look inside the window: it cannot know better, or
// must not yet. The window has to lie after the change.
func Stale(entries []Entry, t Turn, node int, w Window) error {
	if w.From.Before(t.Answered) {
		return Doubtf("the window in which node %d must not know %q begins before the change", node, t.Change)
	}
	looks := inside(Probes(entries, node, t.Subject), w)
	for _, p := range looks {
		if p.Shown != t.Old {
			return broke(t, p, t.Answered, 0, fmt.Sprintf("node %d still to show %q while it cannot know %q", node, t.Old, t.Change))
		}
	}
	return covered(looks, t.Subject, node, w)
}
