package history

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// got is a delivery of the entries, in flight from and to the given ms; "!" in front: it was refused.
func got(from, to int, entries string) Arrival {
	refused := strings.HasPrefix(entries, "!")
	entries = strings.TrimPrefix(entries, "!")
	return Arrival{From: at(from), To: at(to), Entries: strings.Fields(entries), Digest: entries, Good: !refused}
}

// tried is one batch, refused at once at each of the ms.
func tried(ms ...int) []Arrival {
	var all []Arrival
	for _, m := range ms {
		all = append(all, got(m, m, "!1"))
	}
	return all
}

func TestJudgmentsOnArrivals(t *testing.T) {
	const ms = time.Millisecond
	delivered := func(d Delivery) func([]Arrival) error {
		return func(a []Arrival) error { return Delivered(a, d) }
	}
	abc := []string{"1", "2", "3"}
	once, ordered, again := delivered(Delivery{Entries: abc}), delivered(Delivery{Entries: abc, InOrder: true}), delivered(Delivery{Entries: abc, InOrder: true, Again: true})
	batches := func(a []Arrival) error { return Batches(a, []int{2, 1}) }
	made := map[string]Made{"1": {at(0), at(10)}, "3": {at(105), at(110)}}
	coalesced := func(a []Arrival) error { return Coalesced(a, made, 3, 100*ms, 20*ms) }
	doubling := func(a []Arrival) error { return Doubling(a, 100*ms, 0, 50*ms) }
	capped := func(a []Arrival) error { return Doubling(a, 100*ms, 200*ms, 50*ms) }
	short := func(a []Arrival) error { return NoWaitAbove(a, 100*ms, 20*ms) }
	budgeted := func(a []Arrival) error { return Budgeted(a, at(-30), 500*ms, 200*ms, 20*ms) }
	one := func(a []Arrival) error { return AtMostAtOnce(a, 1) }
	two := func(a []Arrival) error { return AtLeastAtOnce(a, 2) }
	silent := func(a []Arrival) error { return Silent(a, Window{From: at(100), To: at(200)}) }

	for _, row := range []struct {
		rule     string
		judge    func([]Arrival) error
		arrivals []Arrival
		want     string
	}{
		{"delivered: all once", once, []Arrival{got(0, 1, "1 2"), got(2, 3, "3")}, held},
		{"delivered: in any order", once, []Arrival{got(0, 1, "3"), got(2, 3, "1 2")}, held},
		{"delivered: one is missing", once, []Arrival{got(0, 1, "1 2")}, broken},
		{"delivered: one was refused", once, []Arrival{got(0, 1, "1 2"), got(2, 3, "!3")}, broken},
		{"delivered: refused, then taken", once, []Arrival{got(0, 1, "!1 2"), got(1, 2, "1 2"), got(2, 3, "3")}, held},
		{"delivered: one twice", once, []Arrival{got(0, 1, "1 2"), got(2, 3, "2 3")}, broken},
		{"delivered: one that was not sent", once, []Arrival{got(0, 1, "1 2 3 4")}, broken},
		{"delivered: nothing at all", once, nil, broken},
		{"delivered: in order", ordered, []Arrival{got(0, 1, "1 2"), got(2, 3, "3")}, held},
		{"delivered: out of order", ordered, []Arrival{got(0, 1, "1 3"), got(2, 3, "2")}, broken},
		{"delivered: again is allowed", again, []Arrival{got(0, 1, "1"), got(1, 2, "1"), got(2, 3, "2 3")}, held},
		{"delivered: again, out of order", again, []Arrival{got(0, 1, "2"), got(1, 2, "1"), got(2, 3, "2 3")}, broken},

		{"batches: as said", batches, []Arrival{got(0, 1, "1 2"), got(1, 2, "3")}, held},
		{"batches: what was refused does not count", batches, []Arrival{got(0, 1, "!1 2"), got(0, 1, "1 2"), got(1, 2, "3")}, held},
		{"batches: too small", batches, []Arrival{got(0, 1, "1"), got(1, 2, "2 3")}, broken},
		{"batches: one more", batches, []Arrival{got(0, 1, "1 2"), got(1, 2, "3"), got(2, 3, "4")}, broken},

		{"coalesced: when due", coalesced, []Arrival{got(115, 116, "1")}, held},
		{"coalesced: too early", coalesced, []Arrival{got(90, 91, "1")}, broken},
		{"coalesced: too late", coalesced, []Arrival{got(140, 141, "1")}, broken},
		{"coalesced: what is full need not wait", coalesced, []Arrival{got(15, 16, "1 2 3")}, held},
		{"coalesced: the next is taken when the first is through", coalesced, []Arrival{got(115, 150, "1 2"), got(255, 256, "3")}, held},
		{"coalesced: the next counted from when it was made", coalesced, []Arrival{got(115, 150, "1 2"), got(210, 211, "3")}, broken},
		{"coalesced: an entry from nowhere", coalesced, []Arrival{got(115, 150, "9")}, doubt},
		{"coalesced: nothing", coalesced, nil, doubt},

		{"doubling: twice each time", doubling, tried(0, 100, 300, 700), held},
		{"doubling: always the same", doubling, tried(0, 100, 200, 300), broken},
		{"doubling: the first too long", doubling, tried(0, 200, 400, 800), broken},
		{"doubling: too few to say", doubling, tried(0, 100, 300), doubt},
		{"doubling: up to a limit", capped, tried(0, 100, 300, 500, 700), held},
		{"doubling: beyond the limit", capped, tried(0, 100, 300, 700), broken},
		{"no wait above: none", short, tried(0, 90, 205), held},
		{"no wait above: one", short, tried(0, 90, 300), broken},
		{"no wait above: no second try", short, tried(0), broken},
		{"budgeted: as long as said", budgeted, tried(0, 100, 300, 600), held},
		{"budgeted: the first try took time to arrive", budgeted, tried(0, 100, 300, 480), held},
		{"budgeted: earlier than any first try", budgeted, tried(0, 100, 300, 460), broken},
		{"budgeted: given up early", budgeted, tried(0, 100, 300), broken},
		{"budgeted: not given up", budgeted, tried(0, 300, 600, 900), broken},
		{"budgeted: never tried", budgeted, nil, doubt},

		{"unchanged: the same each time", Unchanged, []Arrival{got(0, 1, "!1 2"), got(1, 2, "1 2")}, held},
		{"unchanged: grown", Unchanged, []Arrival{got(0, 1, "!1 2"), got(1, 2, "1 2 3")}, broken},
		{"unchanged: what was not read says nothing", Unchanged, []Arrival{got(0, 1, "!"), got(1, 2, "1 2"), got(2, 3, "!")}, held},
		{"one after the other", OneAfterTheOther, []Arrival{got(0, 1, "!1"), got(1, 2, "1"), got(2, 3, "!2"), got(3, 4, "2")}, held},
		{"one after the other: interleaved", OneAfterTheOther, []Arrival{got(0, 1, "!1"), got(1, 2, "2"), got(2, 3, "1")}, broken},

		{"at most at once: one after the other", one, []Arrival{got(0, 10, "1"), got(10, 20, "2")}, held},
		{"at most at once: overlapping", one, []Arrival{got(0, 10, "1"), got(9, 20, "2")}, broken},
		{"at most at once: one still in flight", one, []Arrival{{From: at(0)}, got(50, 60, "2")}, broken},
		{"at least at once: overlapping", two, []Arrival{got(0, 10, "1"), got(9, 20, "2")}, held},
		{"at least at once: one after the other", two, []Arrival{got(0, 10, "1"), got(10, 20, "2")}, broken},

		{"silent: before and after", silent, []Arrival{got(50, 60, "1"), got(210, 220, "2")}, held},
		{"silent: inside", silent, []Arrival{got(150, 160, "1")}, broken},
	} {
		if got := verdict(row.judge(row.arrivals)); got != row.want {
			t.Errorf("%s: got %s (%v), want %s", row.rule, got, row.judge(row.arrivals), row.want)
		}
	}
}

func TestTriesAreThoseOfOneBatch(t *testing.T) {
	all := []Arrival{got(0, 1, "!1 2"), got(1, 2, "!3"), got(2, 3, "1 2"), got(3, 4, "2")}
	if tries := Tries(all, "1"); len(tries) != 2 || tries[1].From != at(2) {
		t.Errorf("got %v", tries)
	}
}

func TestMediansAreCompared(t *testing.T) {
	many := func(d time.Duration) []time.Duration {
		all := make([]time.Duration, enough)
		for i := range all {
			all[i] = d
		}
		return all
	}
	for _, row := range []struct {
		rule             string
		sound, disturbed []time.Duration
		want             string
	}{
		{"the same", many(400), many(400), held},
		{"faster", many(400), many(100), held},
		{"a quarter more", many(400), many(500), held},
		{"between", many(400), many(600), doubt},
		{"twice", many(400), many(800), broken},
		{"too few", many(400)[1:], many(400), doubt},
	} {
		if got := verdict(Unhurt(row.sound, row.disturbed)); got != row.want {
			t.Errorf("%s: got %s, want %s", row.rule, got, row.want)
		}
	}
	if err := Unhurt(nil, nil); !errors.As(err, new(*Doubt)) {
		t.Errorf("nothing to compare: %v", err)
	}
}

func TestEarliest(t *testing.T) {
	before, first := got(0, 40, "!1"), got(60, 70, "!2")
	for _, row := range []struct {
		rule     string
		arrivals []Arrival
		sent     time.Time
		want     time.Time
	}{
		{"nothing came before: its request", []Arrival{first}, at(30), at(30)},
		{"another delivery ended later: that", []Arrival{before, first}, at(30), at(40)},
		{"another delivery ended earlier: its request", []Arrival{before, first}, at(50), at(50)},
	} {
		if got := Earliest(row.arrivals, []Arrival{first}, row.sent); !got.Equal(row.want) {
			t.Errorf("%s: %v, want %v", row.rule, got, row.want)
		}
	}
}
