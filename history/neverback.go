package history

import "fmt"

// NeverBack holds when no look that began after another had shown the new state shows the old one again.
func NeverBack(entries []Entry, t Turn, node int) error {
	var seen Entry
	for _, p := range Probes(entries, node, t.Subject) {
		if p.Shown == t.New && !p.Start.Before(t.Sent) && (seen.End.IsZero() || p.End.Before(seen.End)) {
			seen = p
		}
		if p.Shown == t.Old && !seen.End.IsZero() && !p.Start.Before(seen.End) {
			return broke(t, p, t.Answered, 0, fmt.Sprintf("node %d never to go back to %q once it had shown %q", node, t.Old, t.New))
		}
	}
	return nil
}
