package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is a queue as the documents tell it: one thing after the other, on its own clock.
type model struct {
	p       Params
	now     time.Duration
	down    bool
	takes   time.Duration
	waiting []string
	opened  time.Duration // a batch is being put together since then; less than 0: none is

	batch []string // nil: none
	began time.Duration
	tried time.Duration // the try under way began then
	wait  time.Duration // the last wait; 0: none
	next  time.Duration // the end of the try or of the wait
	idle  bool          // the batch waits for its next try

	got                          []string
	losses, warns, fulls, normal int // lines
	warned, owed                 bool
	counted                      time.Duration // of the last line about dropping; less than 0: none
}

func (m *model) high() bool { return float64(len(m.waiting)) >= 0.8*float64(m.p.MaxEntries) }

func (m *model) bytes() (n int64) {
	for _, w := range m.waiting {
		n += int64(len(w))
	}
	return n
}

// enqueue says whether the entry is taken.
func (m *model) enqueue(e string) bool {
	if len(m.waiting) == m.p.MaxEntries {
		m.waiting, m.owed = m.waiting[1:], true
		if m.counted < 0 || m.now-m.counted >= 5*time.Second {
			m.fulls, m.counted = m.fulls+1, m.now
		}
	}
	if m.p.HasMaxBytes {
		if int64(len(e)) > m.p.MaxBytes {
			return false
		}
		for m.bytes()+int64(len(e)) > m.p.MaxBytes {
			m.waiting, m.owed = m.waiting[1:], true
		}
	}
	if m.waiting = append(m.waiting, e); m.opened < 0 && m.batch == nil {
		m.opened = m.now
	}
	if m.batch == nil && len(m.waiting) == m.p.MaxBatchSize {
		m.take()
	}
	if m.high() && !m.warned {
		m.warns, m.warned, m.owed = m.warns+1, true, true
	}
	return true
}

func (m *model) take() {
	n := min(m.p.MaxBatchSize, len(m.waiting))
	m.batch, m.waiting = m.waiting[:n:n], m.waiting[n:]
	m.began, m.wait, m.opened = m.now, 0, -1
	m.try()
}

func (m *model) try() { m.tried, m.next, m.idle = m.now, m.now+m.takes, false }

// land ends a try.
func (m *model) land() {
	entry := strings.Join(m.batch, "+") + "@" + m.tried.String()
	switch {
	case !m.down:
		m.got = append(m.got, entry)
		if m.settle(); !m.high() && m.owed {
			m.normal++
			m.owed, m.warned, m.counted = false, false, -1
		} else if !m.high() {
			m.warned = false
		}
		return
	case m.now-m.began >= m.p.MaxRetryTime:
		m.losses++
		m.settle()
	default:
		m.wait *= 2
		if m.wait == 0 {
			m.wait = m.p.InitialRetryDelay
		}
		m.wait = min(m.wait, m.p.MaxRetryDelay, m.p.MaxRetryTime)
		m.next, m.idle = m.now+m.wait, true
	}
	m.got = append(m.got, "!"+entry)
}

func (m *model) settle() { m.batch, m.opened = nil, m.now }

// pass lets all happen that is due until then.
func (m *model) pass(until time.Duration) {
	for {
		due := m.next
		if m.batch == nil {
			if len(m.waiting) == 0 {
				m.opened, m.warned = -1, false // the queue ends; what it owes is remembered
				break
			}
			due = m.opened + m.p.MaxCoalescingDelay
			if len(m.waiting) >= m.p.MaxBatchSize {
				due = m.now
			}
		}
		if due > until {
			break
		}
		m.now = max(m.now, due)
		switch {
		case m.batch == nil:
			m.take()
		case m.idle:
			m.try()
		default:
			m.land()
		}
	}
	m.now = until
}

// compare is an error unless all that can be seen of the queue is as the model says.
func (m *model) compare(b *bench) error {
	if err := all(
		b.holds(len(m.waiting), len(m.waiting)+len(m.batch)),
		b.logged(m.warns, warning), b.logged(m.fulls, full), b.logged(m.normal, resumed),
		b.logged(m.losses, "max_retry_time exceeded"),
	); err != nil {
		return fmt.Errorf("after %s: %w", m.now, err)
	}
	got, _ := b.sink.seen()
	if want := strings.Join(m.got, " "); got != want {
		return fmt.Errorf("after %s: saw\n%s\nwant\n%s", m.now, got, want)
	}
	return nil
}

// life is what happens to a queue.
type life struct {
	p     Params
	takes time.Duration
	turns []turn
}

// turn is one turn of a life: the server's state, entries that come at once, and the time after.
type turn struct {
	down    bool
	entries []string
	pass    time.Duration
}

func drawLife(t *rapid.T) life {
	l := life{p: drawParams(t), takes: time.Duration(rapid.SampledFrom([]int{0, 0, 170}).Draw(t, "takes")) * msec}
	sent := 0
	for range rapid.IntRange(1, 12).Draw(t, "turns") {
		// The odd part keeps the end of a turn from falling together with anything else.
		next := turn{
			down: rapid.Bool().Draw(t, "down"),
			pass: time.Duration(rapid.IntRange(0, 4000).Draw(t, "pass"))*msec + 1009,
		}
		for range rapid.IntRange(0, 8).Draw(t, "burst") {
			sent++
			next.entries = append(next.entries, fmt.Sprint(sent)+strings.Repeat("x", rapid.IntRange(0, 10).Draw(t, "longer")))
		}
		l.turns = append(l.turns, next)
	}
	return l
}

func drawParams(t *rapid.T) Params {
	p := Params{
		MaxBatchSize:       rapid.IntRange(1, 5).Draw(t, "batch"),
		MaxCoalescingDelay: time.Duration(rapid.IntRange(50, 3000).Draw(t, "coalescing")) * msec,
		MaxEntries:         rapid.IntRange(1, 12).Draw(t, "entries"),
		MaxRetryTime:       time.Duration(rapid.IntRange(-1, 9000).Draw(t, "budget")) * msec,
		InitialRetryDelay:  time.Duration(rapid.IntRange(1, 1500).Draw(t, "first")) * msec,
		MaxRetryDelay:      time.Duration(rapid.IntRange(1, 3000).Draw(t, "longest")) * msec,
		ConcurrencyLimit:   1,
	}
	if p.HasMaxBytes = rapid.Bool().Draw(t, "bounded"); p.HasMaxBytes {
		p.MaxBytes = int64(rapid.IntRange(1, 40).Draw(t, "bytes"))
	}
	return p
}

// live leads a queue and its model through one life.
func (l life) live(b *bench) error {
	m := &model{p: l.p, takes: l.takes, counted: -1, opened: -1}
	b.sink.takes = l.takes
	for _, turn := range l.turns {
		m.down = turn.down
		b.set(func(s *sink) { s.down = turn.down })
		for _, e := range turn.entries {
			taken := m.enqueue(e)
			m.pass(m.now)
			if err := b.text(e); (err == nil) != taken {
				return fmt.Errorf("%s: taken %t, got %v", e, taken, err)
			}
			if err := m.compare(b); err != nil {
				return err
			}
		}
		m.pass(m.now + turn.pass)
		b.pass(turn.pass)
		if err := m.compare(b); err != nil {
			return err
		}
	}
	return nil
}

func TestAgainstAModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := drawLife(r)
		if err := play(t, Defects{}, l.p, l.live); err != nil {
			r.Fatal(err)
		}
	})
}
