package report

import (
	"math"
	"slices"
)

// Distribute sums up how long changes took to be seen, over all scenarios and nodes; nil where none
// was measured.
func Distribute(scenarios []Scenario) *Distribution {
	var took []Millis
	var polls []float64
	for _, s := range scenarios {
		for _, p := range s.Propagation {
			took, polls = append(took, max(p.MS, 0)), append(polls, p.Polls)
		}
	}
	if len(took) == 0 {
		return nil
	}
	slices.Sort(took)
	slices.Sort(polls)
	return &Distribution{
		Count: len(took), P50: rank(took, 0.50), P95: rank(took, 0.95), P99: rank(took, 0.99), Max: took[len(took)-1],
		P50Polls: rank(polls, 0.50), MaxPolls: polls[len(polls)-1],
	}
}

// rank is the smallest value that at least the share q of the sorted values does not exceed.
func rank[V any](sorted []V, q float64) V {
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}
