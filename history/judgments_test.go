package history

import (
	"errors"
	"testing"
	"time"
)

var zero = time.Now()

func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

// looks builds probes of node 2 from "old"/"new" at (start ms), each 4 ms long.
func look(node, ms int, shown string) Entry {
	return Entry{Kind: KindProbe, Node: node, Subject: "dogs", Start: at(ms), End: at(ms + 4), Shown: shown, Request: "GET /dogs"}
}

func series(node, from, to, step int, shown string) []Entry {
	var s []Entry
	for ms := from; ms < to; ms += step {
		s = append(s, look(node, ms, shown))
	}
	return s
}

func join(parts ...[]Entry) []Entry {
	var all []Entry
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// The change of all tests: sent at 100 ms, answered at 110 ms.
var turn = Turn{Change: "a new route", Statement: "CLU-22", Subject: "dogs", Old: "404", New: "200", Sent: at(100), Answered: at(110)}

const (
	held   = "held"
	broken = "violation"
	doubt  = "doubt"
)

func verdict(err error) string {
	var v *Violation
	var d *Doubt
	switch {
	case err == nil:
		return held
	case errors.As(err, &v):
		return broken
	case errors.As(err, &d):
		return doubt
	}
	return "an error of no kind"
}

func TestJudgments(t *testing.T) {
	converged := func(e []Entry) error {
		_, err := Converged(e, turn, 2, Deadline{Name: "propagation", Within: 500 * time.Millisecond, Settle: 200 * time.Millisecond, Poll: 500 * time.Millisecond, Gap: 100 * time.Millisecond})
		return err
	}
	immediate := func(within time.Duration) func([]Entry) error {
		return func(e []Entry) error { return Immediate(e, turn, 1, within) }
	}
	steady := func(e []Entry) error {
		return Steady(e, "dogs", 2, "200", Window{From: at(0), To: at(300), Gap: 50 * time.Millisecond})
	}
	stale := func(e []Entry) error {
		return Stale(e, turn, 2, Window{From: at(110), To: at(300), Gap: 50 * time.Millisecond})
	}
	notEarlier := func(e []Entry) error {
		return NotEarlier(e, turn, 2, 200*time.Millisecond, 50*time.Millisecond)
	}
	burst := turn
	burst.Via = []string{"first", "second"}
	passed := func(e []Entry) error { return NeverBack(e, burst, 2) }
	back := func(e []Entry) error { return NeverBack(e, turn, 2) }

	for _, row := range []struct {
		rule    string
		judge   func([]Entry) error
		entries []Entry
		want    string
	}{
		{"immediate: the next request is new", immediate(0), []Entry{look(1, 111, "200")}, held},
		{"immediate: the next request is old", immediate(0), []Entry{look(1, 111, "404"), look(1, 120, "200")}, broken},
		{"immediate: a later one is old again", immediate(0), []Entry{look(1, 111, "200"), look(1, 200, "404")}, broken},
		{"immediate: what began before the answer proves nothing", immediate(0), []Entry{look(1, 109, "404"), look(1, 111, "200")}, held},
		{"immediate: old within the bound is allowed", immediate(50 * time.Millisecond), []Entry{look(1, 111, "404"), look(1, 170, "200")}, held},
		{"immediate: other nodes do not count", immediate(0), []Entry{look(1, 111, "200"), look(2, 111, "404")}, held},
		{"immediate: nobody looked", immediate(0), []Entry{look(1, 90, "404")}, doubt},

		{"converged: old, then new, and stays", converged, join(series(2, 0, 400, 10, "404"), series(2, 400, 700, 10, "200")), held},
		{"converged: new just inside the bound", converged, join(series(2, 0, 600, 10, "404"), series(2, 600, 900, 10, "200")), held},
		{"converged: still old after the bound", converged, join(series(2, 0, 640, 10, "404"), series(2, 640, 1000, 10, "200")), broken},
		{"converged: never", converged, series(2, 0, 1000, 10, "404"), broken},
		{"converged: unseen again while settling", converged, join(series(2, 0, 300, 10, "404"), series(2, 300, 400, 10, "200"), series(2, 400, 420, 10, "404"), series(2, 420, 800, 10, "200")), broken},
		{"converged: neither old nor new in between", converged, join(series(2, 0, 300, 10, "404"), series(2, 300, 320, 10, "500"), series(2, 320, 700, 10, "200")), broken},
		{"converged: looked at too briefly", converged, join(series(2, 0, 300, 10, "404"), series(2, 300, 320, 10, "200")), doubt},
		{"converged: nobody looked after the bound", converged, series(2, 0, 300, 10, "404"), doubt},
		{"converged: a hole across the bound", converged, join(series(2, 0, 300, 10, "404"), series(2, 5000, 5300, 10, "200")), doubt},
		{"converged: a hole across the bound and nothing before", converged, series(2, 5000, 5300, 10, "200"), doubt},
		{"converged: a look that hung across the bound", converged, join(series(2, 0, 590, 10, "404"), []Entry{{Kind: KindProbe, Node: 2, Subject: "dogs", Start: at(600), End: at(2500), Shown: "200"}}, series(2, 2500, 2800, 10, "200")), doubt},
		{"converged: a hole within the bound", converged, join(series(2, 0, 150, 10, "404"), series(2, 400, 700, 10, "200")), held},
		{"converged: a hole while settling", converged, join(series(2, 0, 300, 10, "404"), series(2, 300, 320, 10, "200"), series(2, 600, 620, 10, "200")), doubt},
		{"converged: a hole, and settled after it", converged, join(series(2, 0, 300, 10, "404"), series(2, 300, 320, 10, "200"), series(2, 600, 900, 10, "200")), held},
		{"converged: a hung look while settling", converged, join(series(2, 0, 300, 10, "404"), series(2, 300, 320, 10, "200"), []Entry{{Kind: KindProbe, Node: 2, Subject: "dogs", Start: at(330), End: at(2500), Shown: "200"}}), doubt},
		{"converged: a hole after it settled", converged, join(series(2, 0, 300, 10, "404"), series(2, 300, 530, 10, "200"), series(2, 900, 910, 10, "200")), held},
		{"converged: nobody looked at all", converged, nil, doubt},
		{"converged: new before the change was sent does not count", converged, join([]Entry{look(2, 50, "200")}, series(2, 60, 400, 10, "404"), series(2, 400, 700, 10, "200")), held},

		{"converged: what was shown before the change was sent does not count", converged, join(series(2, 0, 50, 10, "500"), series(2, 50, 400, 10, "404"), series(2, 400, 700, 10, "200")), held},

		{"never back: forth only", back, join(series(2, 0, 300, 10, "404"), series(2, 300, 400, 10, "200")), held},
		{"never back: back", back, join(series(2, 300, 400, 10, "200"), series(2, 410, 420, 10, "404")), broken},
		{"never back: overlapping looks prove no order", back, []Entry{
			{Kind: KindProbe, Node: 2, Subject: "dogs", Start: at(200), End: at(260), Shown: "200"},
			{Kind: KindProbe, Node: 2, Subject: "dogs", Start: at(210), End: at(220), Shown: "404"},
		}, held},
		{"never back: nothing seen", back, nil, doubt},
		{"never back: looked at before the change only", back, []Entry{look(2, 50, "200"), look(2, 60, "404")}, doubt},
		{"never back: what was before the change does not count", back, []Entry{look(2, 50, "200"), look(2, 60, "404"), look(2, 110, "404")}, held},
		{"never back: an error between old and new", back, []Entry{look(2, 110, "404"), look(2, 120, "500"), look(2, 130, "200")}, broken},
		{"never back: no answer between new and new", back, []Entry{look(2, 110, "200"), look(2, 120, "no answer"), look(2, 130, "200")}, broken},
		{"never back: an error before the first answer", back, []Entry{look(2, 110, "503"), look(2, 120, "404"), look(2, 130, "200")}, held},
		{"never back: an error at the end, where the node goes away", back, []Entry{look(2, 110, "404"), look(2, 120, "no answer")}, held},
		{"never back: through all states in order", passed, []Entry{look(2, 110, "404"), look(2, 120, "first"), look(2, 130, "second"), look(2, 140, "200")}, held},
		{"never back: states may be skipped", passed, []Entry{look(2, 110, "404"), look(2, 130, "second"), look(2, 140, "200")}, held},
		{"never back: from the second to the first", passed, []Entry{look(2, 110, "404"), look(2, 120, "second"), look(2, 130, "first"), look(2, 140, "200")}, broken},

		{"steady: one state", steady, series(2, 0, 300, 10, "200"), held},
		{"steady: one flicker", steady, join(series(2, 0, 150, 10, "200"), series(2, 150, 160, 10, "404"), series(2, 160, 300, 10, "200")), broken},
		{"steady: looks with a hole", steady, join(series(2, 0, 100, 10, "200"), series(2, 200, 300, 10, "200")), doubt},
		{"steady: a flicker outside the window", steady, join([]Entry{look(2, 310, "404")}, series(2, 0, 300, 10, "200")), held},
		{"steady: nobody looked", steady, series(1, 0, 300, 10, "200"), doubt},

		{"stale: old all the time", stale, join(series(2, 0, 300, 10, "404"), series(2, 300, 400, 10, "200")), held},
		{"stale: knows what it cannot know", stale, join(series(2, 0, 200, 10, "404"), series(2, 200, 300, 10, "200")), broken},
		{"stale: looks end too soon", stale, series(2, 0, 200, 10, "404"), doubt},

		{"not earlier: waits", notEarlier, join(series(2, 0, 310, 10, "404"), series(2, 310, 400, 10, "200")), held},
		{"not earlier: too early", notEarlier, join(series(2, 0, 200, 10, "404"), series(2, 200, 400, 10, "200")), broken},
		{"not earlier: a look across the instant proves nothing", notEarlier, join(series(2, 0, 290, 10, "404"), series(2, 298, 400, 10, "200")), held},
		{"not earlier: nobody looked for a while", notEarlier, join(series(2, 0, 150, 10, "404"), series(2, 310, 400, 10, "200")), doubt},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if err := row.judge(row.entries); verdict(err) != row.want {
				t.Errorf("got %s (%v), want %s", verdict(err), err, row.want)
			}
		})
	}
}

func TestWindowsThatCannotBeJudged(t *testing.T) {
	slow := turn
	slow.Answered = at(400)
	if err := NotEarlier(series(2, 0, 500, 10, "404"), slow, 2, 200*time.Millisecond, 0); verdict(err) != doubt {
		t.Errorf("a change slower than its delay: got %v, want a doubt", err)
	}
	if err := Stale(series(2, 0, 300, 10, "404"), turn, 2, Window{From: at(105), To: at(300)}); verdict(err) != doubt {
		t.Errorf("a window that begins before the change: got %v, want a doubt", err)
	}
}

func TestPropagationIsMeasured(t *testing.T) {
	entries := join(series(2, 0, 360, 10, "404"), series(2, 360, 700, 10, "200"))
	p, err := Converged(entries, turn, 2, Deadline{Within: time.Second, Settle: 100 * time.Millisecond, Poll: 508 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	want := Propagation{Change: "a new route", Node: 2, After: 254 * time.Millisecond, Polls: 0.5, Bound: time.Second}
	if p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
}

func TestDeadlineFromHealing(t *testing.T) {
	entries := join(series(2, 0, 1500, 10, "404"), series(2, 1500, 2000, 10, "200"))
	d := Deadline{Name: "heal", Since: at(1200), Within: 500 * time.Millisecond, Settle: 100 * time.Millisecond}
	if _, err := Converged(entries, turn, 2, d); err != nil {
		t.Errorf("within the bound of the healing: got %v", err)
	}
	d.Since = time.Time{}
	if _, err := Converged(entries, turn, 2, d); verdict(err) != broken {
		t.Errorf("without it: got %v, want a violation", err)
	}
}

func TestExcuse(t *testing.T) {
	violation := error(&Violation{Expected: "x", Actual: "y"})
	window := Window{From: at(100), To: at(200)}
	for _, row := range []struct {
		rule string
		err  error
		gaps []Gap
		want string
	}{
		{"no gap", violation, nil, broken},
		{"a gap inside", violation, []Gap{{at(120), at(180)}}, doubt},
		{"a gap that reaches in", violation, []Gap{{at(50), at(110)}}, doubt},
		{"a gap before", violation, []Gap{{at(40), at(100)}}, broken},
		{"a gap after", violation, []Gap{{at(200), at(300)}}, broken},
		{"a short gap", violation, []Gap{{at(120), at(140)}}, broken},
		{"a pass stays", nil, []Gap{{at(120), at(180)}}, held},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if got := verdict(Excuse(row.err, row.gaps, window, 40*time.Millisecond)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestWitnessed(t *testing.T) {
	if err := Witnessed([]Fault{{Name: "cut", Witnessed: true}}); err != nil {
		t.Errorf("all witnessed: got %v", err)
	}
	if err := Witnessed([]Fault{{Name: "cut", Witnessed: true}, {Name: "lag", Node: 2}}); verdict(err) != doubt {
		t.Errorf("one without a witness: got %v, want a doubt", err)
	}
}

func TestWatchdogNotesGapsOnly(t *testing.T) {
	now := at(0)
	w := NewWatchdog(func() time.Time { return now })
	for _, ms := range []int{0, 10, 20, 95, 105, 300} {
		now = at(ms)
		w.mark()
	}
	got := w.Gaps()
	want := []Gap{{at(20), at(95)}, {at(105), at(300)}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRecordStamps(t *testing.T) {
	now := at(5)
	h := New(func() time.Time { return now })
	h.Record(Entry{Kind: KindLog})
	h.Record(Entry{Kind: KindProbe, Start: at(1)})
	h.Record(Entry{Kind: KindProbe, Start: at(1), End: at(2)})
	for i, want := range [][2]time.Time{{at(5), at(5)}, {at(1), at(1)}, {at(1), at(2)}} {
		if e := h.Entries()[i]; e.Start != want[0] || e.End != want[1] {
			t.Errorf("entry %d: got %v..%v, want %v..%v", i, e.Start, e.End, want[0], want[1])
		}
	}
}

func TestRegular(t *testing.T) {
	window := Window{From: at(0), To: at(1000)}
	for _, row := range []struct {
		rule  string
		polls []int
		want  string
	}{
		{"one in each interval", []int{50, 250, 450, 650, 850}, held},
		{"a little late and early", []int{50, 290, 430, 650, 850}, held},
		{"one skipped", []int{50, 250, 650, 850}, broken},
		{"one too many", []int{50, 250, 300, 450, 650, 850}, broken},
		{"stopped", []int{50, 250, 450}, broken},
		{"began late", []int{450, 650, 850}, broken},
		{"none", nil, broken},
	} {
		t.Run(row.rule, func(t *testing.T) {
			var polls []time.Time
			for _, ms := range row.polls {
				polls = append(polls, at(ms))
			}
			if got := verdict(Regular(polls, 2, 200*time.Millisecond, 100*time.Millisecond, window)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}
