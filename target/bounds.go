package target

import "time"

// Bounds are the named durations that the documents and the settings promise. They are computed,
// never tuned.
type Bounds struct {
	// Propagation is how long a change may take on a node that did not make it.
	Propagation time.Duration

	// Tight is Propagation counted from the later of the next poll seen and the write plus P: what
	// remains is the rebuild, the replica's lag and slack.
	Tight time.Duration

	// Query is how long a node may wait for the database before it gives up.
	Query time.Duration

	// Heal is how long a change may take once a node's database is back.
	Heal time.Duration

	// Settle is for how long what was seen must stay seen.
	Settle time.Duration

	// Immediate is how long a change may take on the node that made it; 0: the next request.
	Immediate time.Duration

	// Slack is what machines need, and part of Propagation, Tight and Heal.
	Slack time.Duration

	// Poll is F, the interval between two polls of a node.
	Poll time.Duration
}

// A Bound is one of [Bounds] with its name and how it was computed, for the report.
type Bound struct {
	Name     string
	Duration time.Duration
	Formula  string
}

// Bounds computes what the settings promise on a cluster whose replica lags by lag (0 without one).
func (t *Target) Bounds(s Settings, lag time.Duration) Bounds {
	f, p := s.Duration("db_update_frequency"), s.Duration("db_update_propagation")
	var w time.Duration
	if s.Get("worker_consistency") != "strict" {
		w = s.Duration("worker_state_update_frequency")
	}
	b := Bounds{Slack: t.Limits.Slack.Duration(), Immediate: t.Limits.Immediate.Duration(), Poll: f}
	b.Tight = w + lag + b.Slack
	b.Propagation = f + p + b.Tight
	b.Query = max(f, time.Second)
	if timeout := s.Duration("pg_timeout"); timeout > 0 {
		b.Query = min(b.Query, timeout)
	}
	b.Heal = b.Query + b.Propagation
	b.Settle = max(2*f, time.Second)
	return b
}

// Named lists the bounds with their formulas, in the order of their reading.
func (b Bounds) Named() []Bound {
	return []Bound{
		{"propagation", b.Propagation, "F + P + W + R + slack"},
		{"tight", b.Tight, "max(next poll, write + P) + W + R + slack"},
		{"query", b.Query, "max(F, 1 s), at most pg_timeout"},
		{"heal", b.Heal, "query + propagation"},
		{"settle", b.Settle, "max(2 F, 1 s)"},
		{"immediate", b.Immediate, "limits.immediate_ms"},
		{"slack", b.Slack, "limits.slack_ms"},
		{"poll", b.Poll, "F"},
	}
}
