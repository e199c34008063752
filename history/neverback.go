package history

import "fmt"

// NeverBack holds when no look shows an older state than another look that had ended before it began.
func NeverBack(entries []Entry, t Turn, node int) error {
	var ended []Entry // looks by rank: the one that ended first
	for _, p := range Probes(entries, node, t.Subject) {
		rank := t.rank(p.Shown)
		if p.Start.Before(t.Sent) || rank < 0 {
			continue
		}
		for len(ended) <= rank {
			ended = append(ended, Entry{})
		}
		for _, newer := range ended[rank+1:] {
			if !newer.End.IsZero() && !p.Start.Before(newer.End) {
				return broke(t, p, t.Answered, 0, fmt.Sprintf("node %d never to go back once it had shown %q", node, newer.Shown))
			}
		}
		if ended[rank].End.IsZero() || p.End.Before(ended[rank].End) {
			ended[rank] = p
		}
	}
	return nil
}
