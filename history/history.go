// Package history keeps what a scenario saw, and judges it.
//
// Whoever looks at the cluster (a probe, an Admin call, a fault, a node's log) records an [Entry] with the
// times at which it began and ended on this machine's monotonic clock. A judgment is a pure function over
// entries: the same history gives the same verdict, today or read back from a file next year. A judgment
// returns nil when the guarantee held, a [*Violation] when entries prove that it broke, and a [*Doubt] when
// the entries can show neither.
//
// An entry's interval is all that is known: the cluster answered at some instant inside it. Judgments call
// something late, early or gone back only when that is true for every instant inside the intervals, so
// a slow harness cannot turn a sound cluster red; it can only leave a doubt.
package history

import (
	"slices"
	"sync"
	"time"
)

// A Kind says what an entry tells about.
type Kind string

// The kinds of entries.
const (
	KindProbe      Kind = "probe"       // one look at a subject through a node's proxy
	KindRequest    Kind = "request"     // any other request, Admin calls above all
	KindChange     Kind = "change"      // a configuration change: from the call being sent to its answer
	KindFaultBegin Kind = "fault-begin" // a fault took hold
	KindFaultEnd   Kind = "fault-end"   // and was healed
	KindPoll       Kind = "poll"        // a node asked the database for events, read from its wire
	KindLog        Kind = "log"         // a line of a node's log
	KindNode       Kind = "node"        // a node started, stopped, was killed
)

// An Entry is one thing that was seen.
type Entry struct {
	Kind    Kind      `json:"kind"`
	Node    int       `json:"node,omitempty"`    // from 1; 0: no node in particular
	Subject string    `json:"subject,omitempty"` // what it is about: a look, a change, a fault
	Start   time.Time `json:"start"`             // zero when recorded: now
	End     time.Time `json:"end"`               // zero when recorded: Start
	Request string    `json:"request,omitempty"` // method and URL
	Status  int       `json:"status,omitempty"`  // of the answer; 0: none came
	Shown   string    `json:"shown,omitempty"`   // the state that the answer showed, in the words of the look
	Detail  string    `json:"detail,omitempty"`  // an error, a log line, evidence
}

// A History is what one scenario saw, in the order of recording. It is safe for concurrent use.
type History struct {
	now     func() time.Time
	began   time.Time
	mu      sync.Mutex
	entries []Entry
}

// New begins a history now. The clock must carry a monotonic reading, as [time.Now] does.
func New(now func() time.Time) *History {
	return &History{now: now, began: now()}
}

// Now reads the history's clock.
func (h *History) Now() time.Time { return h.now() }

// Began returns when the history began: the zero of its report.
func (h *History) Began() time.Time { return h.began }

// Record adds an entry. A zero Start is set to now, a zero End to Start.
func (h *History) Record(e Entry) {
	if e.Start.IsZero() {
		e.Start = h.now()
	}
	if e.End.IsZero() {
		e.End = e.Start
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = append(h.entries, e)
}

// Entries returns a copy of all entries so far, in the order of recording.
func (h *History) Entries() []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.entries)
}

// Probes returns the looks at one subject through one node, by the time at which they began.
func Probes(entries []Entry, node int, subject string) []Entry {
	var probes []Entry
	for _, e := range entries {
		if e.Kind == KindProbe && e.Node == node && e.Subject == subject {
			probes = append(probes, e)
		}
	}
	slices.SortStableFunc(probes, func(a, b Entry) int { return a.Start.Compare(b.Start) })
	return probes
}

// A Turn is what one look sees of one change: Old on a node that does not know it yet, New from then on.
// The change took place at some instant between Sent and Answered.
type Turn struct {
	Change    string   // its name, as the features say it
	Statement string   // the sentence that is judged, CLU-22; may be empty
	Subject   string   // of the probes
	Old, New  string   // as probes show them
	Via       []string // states between Old and New, in order, where several changes were made
	Sent      time.Time
	Answered  time.Time
}

// rank is the place of a state in the turn's order, or -1 for one that has no place in it.
func (t Turn) rank(shown string) int {
	switch shown {
	case t.New: // first: a look may see no difference between old and new
		return len(t.Via) + 1
	case t.Old:
		return 0
	}
	if i := slices.Index(t.Via, shown); i >= 0 {
		return i + 1
	}
	return -1
}

// A Fault is a disturbance as the report tells it. Without a witness no verdict stands.
type Fault struct {
	Name      string
	Wire      string
	Node      int // 0: no node in particular
	From, To  time.Time
	Witnessed bool
	Evidence  string
}

// A Propagation is how long one node took to show one change, counted from the change's answer.
type Propagation struct {
	Change string
	Node   int
	After  time.Duration
	Polls  float64 // After in poll intervals; 0 when the interval is not known
	Bound  time.Duration
}
