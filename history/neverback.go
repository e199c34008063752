package history

import "fmt"

// NeverBack holds when no look shows an older state than another look that had ended before it began, and none shows
// an error between two states that were made: a node that has answered is not to stop. What a look shows that belongs to
// no state counts as such only where a look after it shows one again. Nobody looked: a doubt.
func NeverBack(entries []Entry, t Turn, node int) error {
	var ended []Entry // looks by rank: the one that ended first
	var lapse Entry   // the first look since a known state that shows none
	looked := false
	for _, p := range Probes(entries, node, t.Subject) {
		if p.Start.Before(t.Sent) {
			continue
		}
		rank := t.rank(p.Shown)
		if rank < 0 {
			if looked && lapse.End.IsZero() {
				lapse = p
			}
			continue
		}
		if !lapse.End.IsZero() {
			return broke(t, lapse, t.Answered, 0, fmt.Sprintf("node %d to show %q, %q or a state between them", node, t.Old, t.New))
		}
		looked = true
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
	if !looked {
		return Doubtf("nobody looked at %q on node %d after %q", t.Subject, node, t.Change)
	}
	return nil
}
