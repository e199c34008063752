package queue

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	msec    = time.Millisecond
	warning = `level=WARN msg="queue at 80% capacity"`
	full    = `level=WARN msg="queue full, dropping old entries until processing is successful again"`
	resumed = `level=INFO+2 msg="queue resumed processing"`
	failed  = `level=WARN msg="handler could not process entries: the log server is away"`
)

// with are the defaults but for a change.
func with(change func(p *Params)) Params {
	p := defaults()
	change(&p)
	return p
}

func batches(size int, delay time.Duration) Params {
	return with(func(p *Params) { p.MaxBatchSize, p.MaxCoalescingDelay = size, delay })
}

func room(entries int) Params { return with(func(p *Params) { p.MaxEntries = entries }) }

func retries(budget, first, longest time.Duration) Params {
	return with(func(p *Params) { p.MaxRetryTime, p.InitialRetryDelay, p.MaxRetryDelay = budget, first, longest })
}

func bytesOf(n int64) Params {
	return with(func(p *Params) { p.MaxBytes, p.HasMaxBytes = n, true })
}

// A rule is something that a queue promises. Its check is an error when it is broken.
type rule struct {
	name  string
	p     Params
	check func(b *bench) error
}

var batching = []rule{
	{"an entry is delivered at once", defaults(), func(b *bench) error {
		return all(b.send(1, 3), b.saw("1@0s 2@0s 3@0s"), b.holds(0, 0))
	}},
	{"a full batch leaves at once, the rest when it is due", batches(10, time.Second), func(b *bench) error {
		err := b.send(1, 25)
		b.pass(time.Minute)
		return all(err, b.saw("1+2+3+4+5+6+7+8+9+10@0s 11+12+13+14+15+16+17+18+19+20@0s 21+22+23+24+25@1s"))
	}},
	{"a single entry waits for the whole delay", batches(10, 600*time.Second), func(b *bench) error {
		err := all(b.send(1, 1), b.holds(1, 1))
		b.pass(599 * time.Second)
		err = all(err, b.saw(""))
		b.pass(time.Second)
		return all(err, b.saw("1@10m0s"))
	}},
	{"windows neither slide nor overlap", batches(100, 2*time.Second), func(b *bench) error {
		for i := 1; i <= 12; i++ {
			if err := b.send(i, i); err != nil {
				return err
			}
			b.pass(600 * msec)
		}
		return b.saw("1+2+3+4@2s 5+6+7+8@4.4s 9+10+11+12@6.8s")
	}},
	{"the delay counts from when the queue turns to the first entry", batches(10, time.Second), func(b *bench) error {
		b.set(func(s *sink) { s.takes = 5 * time.Second })
		err := b.send(1, 10)
		b.pass(time.Second)
		err = all(err, b.send(11, 11))
		b.pass(4*time.Second + 500*msec)
		err = all(err, b.send(12, 12))
		b.pass(time.Minute)
		return all(err, b.saw("1+2+3+4+5+6+7+8+9+10@0s 11+12@6s"))
	}},
	{"a delay below 50 ms does not coalesce", batches(10, 49*msec), func(b *bench) error {
		b.set(func(s *sink) { s.takes = time.Second })
		err := b.send(1, 3)
		b.pass(time.Minute)
		return all(err, b.saw("1@0s 2@1s 3@2s"))
	}},
	{"one delivery at a time, in order", defaults(), func(b *bench) error {
		b.set(func(s *sink) { s.takes = time.Second })
		err := b.send(1, 4)
		b.pass(time.Minute)
		if _, most := b.sink.seen(); most != 1 {
			err = all(err, fmt.Errorf("%d deliveries at once", most))
		}
		return all(err, b.saw("1@0s 2@1s 3@2s 4@3s"))
	}},
	{"without a limit each entry is delivered by itself at once", with(func(p *Params) { p.ConcurrencyLimit, p.MaxBatchSize, p.MaxEntries = -1, 10, 1 }), func(b *bench) error {
		b.set(func(s *sink) { s.takes = time.Second })
		err := all(b.send(1, 4), b.holds(0, 4))
		b.pass(time.Minute)
		if _, most := b.sink.seen(); most != 4 {
			err = all(err, fmt.Errorf("%d deliveries at once, want 4", most))
		}
		return all(err, b.logged(0, "queue"), b.holds(0, 0))
	}},
}

var capacity = []rule{
	{"the newest entries stay, and the batch on its way", room(5), func(b *bench) error {
		b.goDown()
		err := all(b.send(1, 20), b.holds(5, 6))
		b.comeUp()
		b.pass(time.Minute)
		return all(err, b.delivered("1 16 17 18 19 20"), b.holds(0, 0))
	}},
	{"the batch on its way does not count", with(func(p *Params) { p.MaxEntries, p.MaxBatchSize = 10, 2 }), func(b *bench) error {
		b.goDown()
		err := all(b.send(1, 25), b.holds(10, 12))
		b.comeUp()
		b.pass(time.Minute)
		return all(err, b.delivered("1+2 16+17 18+19 20+21 22+23 24+25"))
	}},
	{"a queue of one", room(1), func(b *bench) error {
		b.goDown()
		err := b.send(1, 20)
		b.comeUp()
		b.pass(time.Minute)
		return all(err, b.delivered("1 20"))
	}},
	{"fewer entries than a batch: the oldest leaves also while coalescing", with(func(p *Params) { p.MaxEntries, p.MaxBatchSize = 4, 10 }), func(b *bench) error {
		err := b.send(1, 7)
		b.pass(time.Second)
		return all(err, b.saw("4+5+6+7@1s"))
	}},
	{"what leaves does not put off what waits", with(func(p *Params) { p.MaxEntries, p.MaxBatchSize = 1, 10 }), func(b *bench) error {
		err := b.send(1, 1)
		b.pass(900 * msec)
		err = all(err, b.send(2, 2))
		b.pass(time.Minute)
		return all(err, b.saw("2@1s"))
	}},
	{"as many entries as a batch", with(func(p *Params) { p.MaxEntries, p.MaxBatchSize = 3, 3 }), func(b *bench) error {
		return all(b.send(1, 6), b.saw("1+2+3@0s 4+5+6@0s"))
	}},
	{"nothing waits for room", room(2), func(b *bench) error {
		b.goDown()
		err := b.send(1, 9)
		return all(err, b.saw("!1@0s"))
	}},
	{"texts leave, the oldest first, until one more fits", bytesOf(10), func(b *bench) error {
		b.goDown()
		err := all(b.text("1   "), b.text("2   "), b.text("3   "), b.text("4    "), b.text("5     "))
		b.comeUp()
		b.pass(time.Minute)
		return all(err, b.delivered("1 5"), b.logged(1, `level=ERROR msg="byte capacity exceeded, 1 queue entries were dropped"`),
			b.logged(1, `level=ERROR msg="byte capacity exceeded, 2 queue entries were dropped"`), b.logged(1, resumed+" dropped=3"))
	}},
	{"and while coalescing", with(func(p *Params) { p.MaxBytes, p.MaxBatchSize = 5, 10 }), func(b *bench) error {
		err := b.send(1, 7)
		b.pass(time.Second)
		return all(err, b.saw("3+4+5+6+7@1s"))
	}},
	{"a text that would never fit is refused", bytesOf(3), func(b *bench) error {
		text := "string to be queued is longer (4 bytes) than the queue's max_bytes (3 bytes)"
		if err := b.text("long"); err == nil || err.Error() != text {
			return fmt.Errorf("got %v, want %s", err, text)
		}
		return all(b.logged(1, `level=ERROR msg="`+text+`"`), b.holds(0, 0), b.text("fit"), b.saw("fit@0s"))
	}},
	{"0 bytes refuse every text", bytesOf(0), func(b *bench) error {
		if b.text("x") == nil {
			return fmt.Errorf("accepted")
		}
		return b.saw("")
	}},
	{"what is no text has no length", bytesOf(0), func(b *bench) error {
		b.goDown()
		for range 3 {
			if err := b.Enqueue("logs", b.p, b.sink.deliver, Entry{Data: []byte("span")}); err != nil {
				return err
			}
		}
		b.comeUp()
		b.pass(time.Minute)
		return all(b.delivered("span span span"), b.logged(1, `level=ERROR msg="queuing non-string entry to a queue that has queue.max_bytes set`))
	}},
}

var warnings = []rule{
	{"warned when the 8th of 10 waits, once", room(10), func(b *bench) error {
		b.goDown()
		return all(b.send(1, 8), b.logged(0, warning), b.send(9, 9), b.logged(1, warning), b.send(10, 11), b.logged(1, warning), b.logged(0, full))
	}},
	{"normal again without a drop, then warned again", room(10), func(b *bench) error {
		b.goDown()
		err := b.send(1, 9)
		b.comeUp()
		b.pass(time.Minute)
		err = all(err, b.logged(1, resumed+" dropped=0"), b.logged(1, "resumed"))
		b.goDown()
		return all(err, b.send(10, 18), b.logged(2, warning))
	}},
	{"nothing is said while all is well", room(10), func(b *bench) error {
		return all(b.send(1, 50), b.logged(0, "level"))
	}},
	{"the first drop is a line, later ones are counted each 5 s", with(func(p *Params) { p.MaxEntries, p.MaxRetryTime = 2, time.Hour }), func(b *bench) error {
		b.goDown()
		err := all(b.send(1, 3), b.logged(0, full), b.send(4, 4), b.logged(1, full+" dropped=1"), b.send(5, 9), b.logged(1, full))
		b.pass(5*time.Second - 1)
		err = all(err, b.send(10, 10), b.logged(1, full))
		b.pass(1)
		err = all(err, b.send(11, 11), b.logged(2, full), b.logged(1, full+" dropped=7"))
		b.comeUp()
		b.pass(time.Minute)
		return all(err, b.logged(1, resumed+" dropped=8"), b.logged(1, "resumed"))
	}},
	{"not resumed before something was delivered", with(func(p *Params) { p.MaxEntries, p.MaxRetryTime = 2, -1 }), func(b *bench) error {
		b.goDown()
		b.set(func(s *sink) { s.takes = time.Second })
		err := b.send(1, 5)
		b.pass(time.Minute)
		err = all(err, b.holds(0, 0), b.logged(0, "resumed"), b.logged(3, "1 queue entries were lost"))
		b.comeUp()
		err = all(err, b.send(6, 6))
		b.pass(time.Minute)
		return all(err, b.logged(1, resumed+" dropped=2"), b.delivered("6"))
	}},
	{"not resumed above 80 %", with(func(p *Params) { p.MaxEntries = 10 }), func(b *bench) error {
		b.goDown()
		err := b.send(1, 11)
		b.comeUp()
		b.set(func(s *sink) { s.takes = time.Second })
		b.pass(100 * msec) // the first is on its way again, 10 wait
		b.pass(2 * time.Second)
		err = all(err, b.holds(8, 9), b.logged(0, "resumed"))
		b.pass(2 * time.Second)
		return all(err, b.logged(1, resumed))
	}},
	{"the log names the queue and whose it is", with(func(p *Params) { p.Plugin = "http-log 1" }), func(b *bench) error {
		b.set(func(s *sink) { s.fails = 1 })
		return all(b.send(1, 1), b.logged(1, failed+` queue=logs plugin="http-log 1"`))
	}},
}

var retrying = []rule{
	{"waits double, the same batch again", batches(2, time.Second), func(b *bench) error {
		b.set(func(s *sink) { s.fails = 4 })
		err := b.send(1, 3)
		b.pass(20 * time.Second)
		return all(err, b.saw("!1+2@0s !1+2@10ms !1+2@30ms !1+2@70ms 1+2@150ms 3@1.15s"), b.logged(4, failed))
	}},
	{"82 s of the defaults, then lost", defaults(), func(b *bench) error {
		b.goDown()
		err := b.send(1, 1)
		b.pass(5 * time.Minute)
		return all(err, b.saw("!1@0s !1@10ms !1@30ms !1@70ms !1@150ms !1@310ms !1@630ms !1@1.27s !1@2.55s !1@5.11s !1@10.23s !1@20.47s !1@40.95s !1@1m21.91s"),
			b.logged(1, `level=ERROR msg="could not send entries due to max_retry_time exceeded. 1 queue entries were lost"`), b.holds(0, 0))
	}},
	{"no wait above max_retry_delay", retries(2*time.Second, 100*msec, 400*msec), func(b *bench) error {
		b.goDown()
		err := b.send(1, 1)
		b.pass(time.Minute)
		return all(err, b.saw("!1@0s !1@100ms !1@300ms !1@700ms !1@1.1s !1@1.5s !1@1.9s !1@2.3s"))
	}},
	{"no wait above max_retry_time", retries(time.Second, 2*time.Second, time.Minute), func(b *bench) error {
		b.goDown()
		err := b.send(1, 1)
		b.pass(time.Minute)
		return all(err, b.saw("!1@0s !1@1s"))
	}},
	{"a negative max_retry_time is one try", retries(-1, 10*msec, time.Minute), func(b *bench) error {
		b.goDown()
		err := b.send(1, 1)
		b.pass(time.Minute)
		return all(err, b.saw("!1@0s"))
	}},
	{"so is 0", retries(0, 10*msec, time.Minute), func(b *bench) error {
		b.goDown()
		err := b.send(1, 1)
		b.pass(time.Minute)
		return all(err, b.saw("!1@0s"))
	}},
	{"the budget is each batch's own, from its first try, its tries' time included", retries(time.Second, 300*msec, time.Minute), func(b *bench) error {
		b.goDown()
		b.set(func(s *sink) { s.takes = 200 * msec })
		err := b.send(1, 2)
		b.pass(time.Minute)
		return all(err, b.saw("!1@0s !1@500ms !1@1.3s !2@1.5s !2@2s !2@2.8s"), b.logged(2, "1 queue entries were lost"))
	}},
	{"while a batch is retried nothing else is sent", retries(time.Hour, time.Second, time.Second), func(b *bench) error {
		b.goDown()
		err := b.send(1, 3)
		b.pass(1500 * msec)
		b.comeUp()
		b.pass(time.Minute)
		return all(err, b.saw("!1@0s !1@1s 1@2s 2@2s 3@2s"))
	}},
	{"a failed batch does not grow", batches(3, time.Second), func(b *bench) error {
		b.set(func(s *sink) { s.fails = 2 })
		err := b.send(1, 1)
		b.pass(time.Second)
		err = all(err, b.send(2, 3))
		b.pass(time.Minute)
		return all(err, b.saw("!1@1s !1@1.01s 1@1.03s 2+3@2.03s"))
	}},
	{"a panic is a failure", defaults(), func(b *bench) error {
		b.set(func(s *sink) { s.fails, s.panic = 1, true })
		err := b.send(1, 1)
		b.pass(time.Second)
		return all(err, b.saw("!1@0s 1@10ms"), b.logged(1, `msg="handler could not process entries: panic: a handler's mistake"`))
	}},
	{"a short outage is bridged", defaults(), func(b *bench) error {
		b.goDown()
		err := b.send(1, 50)
		b.pass(30 * time.Second)
		b.comeUp()
		b.pass(30 * time.Second)
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprint(i+1))
		}
		return all(err, b.delivered(strings.Join(want, " ")))
	}},
}

var lives = []rule{
	{"the entry that makes a queue rules until it is empty", batches(2, time.Second), func(b *bench) error {
		err := b.send(1, 1)
		b.p.MaxBatchSize = 1
		err = all(err, b.send(2, 2), b.saw("1+2@0s"), b.send(3, 3), b.saw("3@0s"))
		return all(err, b.holds(0, 0))
	}},
	{"the latest handler delivers what waits, and tries again", batches(10, time.Second), func(b *bench) error {
		other := sink{start: b.sink.start}
		err := b.send(1, 1)
		err = all(err, b.Enqueue("logs", b.p, other.deliver, Entry{Data: []byte("2")}))
		b.pass(time.Second)
		if got, _ := other.seen(); got != "1+2@1s" {
			err = all(err, fmt.Errorf("the latest handler saw %s", got))
		}
		return all(err, b.saw(""))
	}},
	{"queues do not share a fate", defaults(), func(b *bench) error {
		b.goDown()
		other := sink{start: b.sink.start}
		err := b.send(1, 1)
		b.pass(5 * time.Second)
		err = all(err, b.Enqueue("metrics", b.p, other.deliver, Entry{Data: []byte("a")}))
		b.pass(time.Second)
		if got, _ := other.seen(); got != "a@5s" {
			err = all(err, fmt.Errorf("the other queue saw %s", got))
		}
		return all(err, b.holds(0, 1))
	}},
	{"a job is there while there is something to do", batches(10, time.Second), func(b *bench) error {
		err := all(b.holds(0, 0), b.send(1, 2), b.holds(2, 2))
		if since := b.Jobs()[0].Since; !since.Equal(b.sink.start) {
			err = all(err, fmt.Errorf("its oldest entry is of %s", since))
		}
		b.pass(time.Second)
		err = all(err, b.holds(0, 0), b.send(3, 3), b.holds(1, 1))
		b.pass(time.Second)
		return all(err, b.holds(0, 0), b.saw("1+2@1s 3@2s"))
	}},
}

// stop flushes for up to d and wants so many entries lost.
func (b *bench) stop(d time.Duration, lost int) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if got := b.Flush(ctx); got != lost {
		return fmt.Errorf("%d lost in the flush, want %d", got, lost)
	}
	return nil
}

// stops are the last to be tried, and the largest batch with them, for it takes the longest.
var stops = []rule{
	{"a stop ends coalescing", batches(1000, 600*time.Second), func(b *bench) error {
		err := b.send(1, 5)
		b.pass(3 * time.Second)
		return all(err, b.stop(10*time.Second, 0), b.saw("1+2+3+4+5@3s"), b.send(6, 6), b.saw("6@3s"))
	}},
	{"even where nothing coalesced, batches are full", batches(2, 0), func(b *bench) error {
		b.set(func(s *sink) { s.takes = time.Second })
		return all(b.send(1, 4), b.stop(10*time.Second, 0), b.saw("1@0s 2+3@1s 4@2s"))
	}},
	{"a wait is cut short, once", retries(time.Hour, 8*time.Second, 8*time.Second), func(b *bench) error {
		b.goDown()
		err := b.send(1, 2)
		b.pass(time.Second)
		return all(err, b.stop(10*time.Second, 2), b.saw("!1@0s !1@1s !1@9s"), b.logged(0, "lost"))
	}},
	{"a server that is back in time gets everything", retries(time.Hour, time.Second, time.Second), func(b *bench) error {
		b.goDown()
		err := b.send(1, 3)
		time.AfterFunc(3500*msec, b.comeUp)
		return all(err, b.stop(10*time.Second, 0), b.delivered("1 2 3"))
	}},
	{"a stop is bounded and counts what is lost", defaults(), func(b *bench) error {
		b.set(func(s *sink) { s.takes = time.Hour })
		err := all(b.send(1, 4), b.stop(10*time.Second, 4), b.holds(0, 0))
		synctest.Wait()
		err = all(err, b.saw("!1@0s"))
		b.set(func(s *sink) { s.takes = 0 })
		return all(err, b.send(5, 5), b.saw("5@10s"))
	}},
	{"an empty stop takes no time", defaults(), func(b *bench) error {
		err := b.stop(10*time.Second, 0)
		if past := time.Since(b.sink.start); past > 0 {
			err = all(err, fmt.Errorf("it took %s", past))
		}
		return err
	}},
	{"entries on their own are flushed too", with(func(p *Params) { p.ConcurrencyLimit = -1 }), func(b *bench) error {
		b.set(func(s *sink) { s.takes = time.Second })
		return all(b.send(1, 1), b.stop(10*time.Second, 0), b.delivered("1"))
	}},
	{"a batch of 20 000 is one delivery", batches(20_000, time.Second), func(b *bench) error {
		b.p.MaxEntries = 20_000
		for i := range 20_000 {
			if err := b.Enqueue("logs", b.p, b.sink.deliver, Entry{Data: []byte("x")}); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
		}
		synctest.Wait()
		return b.saw("x" + strings.Repeat("+x", 19_999) + "@0s")
	}},
	{"after the end nothing is taken", batches(2, time.Hour), func(b *bench) error {
		err := b.send(1, 1)
		b.Close()
		if again := b.text("2"); again == nil {
			err = all(err, fmt.Errorf("an entry was taken after Close"))
		}
		return all(err, b.saw(""), b.logged(1, `level=ERROR msg="queues closed before they were empty" lost=1`))
	}},
}

// rules is all that a queue promises, by subject.
func rules() []rule {
	var list []rule
	for _, part := range [][]rule{batching, capacity, warnings, retrying, lives, stops} {
		list = append(list, part...)
	}
	return list
}

func TestRules(t *testing.T) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			if err := play(t, Defects{}, r.p, r.check); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDefects: each defect breaks a rule, or the rules are too weak to notice it.
func TestDefects(t *testing.T) {
	kinds := reflect.TypeFor[Defects]()
	for i := range kinds.NumField() {
		t.Run(kinds.Field(i).Name, func(t *testing.T) {
			var d Defects
			reflect.ValueOf(&d).Elem().Field(i).SetBool(true)
			for _, r := range rules() {
				if play(t, d, r.p, r.check) != nil {
					t.Logf("broke: %s", r.name)
					return
				}
			}
			t.Error("no rule was broken")
		})
	}
}
