package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("the log server is away")

// sink is a log server as a handler sees it, in virtual time. It writes down every delivery when it
// ends: what was in it, "!" before it if it was refused, and when it began.
type sink struct {
	mu    sync.Mutex
	start time.Time
	down  bool
	fails int           // of the next deliveries, however the server is
	takes time.Duration // one delivery
	panic bool
	busy  int
	most  int // deliveries at once
	got   []string
}

func (s *sink) deliver(ctx context.Context, entries []Entry) error {
	began := time.Now()
	s.mu.Lock()
	s.busy++
	s.most = max(s.most, s.busy)
	takes := s.takes
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	refused := s.down || s.fails > 0 || ctx.Err() != nil
	s.fails = max(s.fails-1, 0)
	s.got = append(s.got, noted(entries, refused, began.Sub(s.start)))
	switch {
	case refused && s.panic:
		panic("a handler's mistake")
	case refused:
		return errAway
	}
	return nil
}

// seen is what arrived so far, and how much of it at once.
func (s *sink) seen() (deliveries string, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, " "), s.most
}

// noted is a delivery as the tests write it: 1+2@3s.
func noted(entries []Entry, refused bool, at time.Duration) string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSpace(string(e.Data))
	}
	mark := ""
	if refused {
		mark = "!"
	}
	return fmt.Sprintf("%s%s@%s", mark, strings.Join(names, "+"), at)
}

// bench is a Set with a sink and a log, in virtual time that starts at 0.
type bench struct {
	*Set
	sink sink
	log  *logbook
	p    Params
}

// logbook keeps log lines as "LEVEL text key=value …", the queue's name left out.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.buf.String(), "\n"), "\n")
}

func newLog(l *logbook) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{
		Level: levelNotice,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "stack" {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// defaults are those of a plugin's queue.
func defaults() Params {
	return Params{
		MaxBatchSize: 1, MaxCoalescingDelay: time.Second, MaxEntries: 10_000, MaxRetryTime: time.Minute,
		InitialRetryDelay: 10 * time.Millisecond, MaxRetryDelay: time.Minute, ConcurrencyLimit: 1,
	}
}

// play runs check in a bubble of virtual time, in which a minute takes no time.
func play(t *testing.T, d Defects, p Params, check func(b *bench) error) (err error) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		l := &logbook{}
		b := &bench{log: l, p: p, Set: New(Options{Logger: newLog(l), Defects: d})}
		b.sink.start = time.Now()
		defer b.Close()
		err = check(b)
	})
	return err
}

// send enqueues the entries from first to last, each when the queue has come to rest.
func (b *bench) send(first, last int) error {
	for i := first; i <= last; i++ {
		if err := b.text(fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) text(text string) error {
	defer synctest.Wait()
	return b.Enqueue("logs", b.p, b.sink.deliver, Entry{Data: []byte(text), Text: true})
}

// pass lets time go by.
func (b *bench) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (b *bench) set(change func(s *sink)) {
	b.sink.mu.Lock()
	defer b.sink.mu.Unlock()
	change(&b.sink)
}

func (b *bench) goDown() { b.set(func(s *sink) { s.down = true }) }
func (b *bench) comeUp() { b.set(func(s *sink) { s.down = false }) }

// saw is an error unless the sink saw exactly these deliveries since it was last asked.
func (b *bench) saw(want string) error {
	b.sink.mu.Lock()
	defer b.sink.mu.Unlock()
	got := strings.Join(b.sink.got, " ")
	b.sink.got = nil
	if got != want {
		return fmt.Errorf("saw  %s\nwant %s", got, want)
	}
	return nil
}

// delivered is an error unless exactly these entries arrived, refused deliveries and times apart.
func (b *bench) delivered(want string) error {
	b.sink.mu.Lock()
	defer b.sink.mu.Unlock()
	var got []string
	for _, d := range b.sink.got {
		if !strings.HasPrefix(d, "!") {
			got = append(got, d[:strings.Index(d, "@")])
		}
	}
	b.sink.got = nil
	if s := strings.Join(got, " "); s != want {
		return fmt.Errorf("delivered %s\nwant      %s", s, want)
	}
	return nil
}

// logged is an error unless the log has exactly n lines with this fragment.
func (b *bench) logged(n int, fragment string) error {
	var got int
	for _, line := range b.log.lines() {
		if strings.Contains(line, fragment) {
			got++
		}
	}
	if got != n {
		return fmt.Errorf("logged %d times, want %d: %s\n%s", got, n, fragment, strings.Join(b.log.lines(), "\n"))
	}
	return nil
}

// holds is an error unless the queue holds so many entries, of which so many wait.
func (b *bench) holds(waiting, resident int) error {
	jobs := b.Jobs()
	if len(jobs) == 0 && resident == 0 {
		return nil
	}
	if len(jobs) != 1 || jobs[0].Name != "logs" || jobs[0].Waiting != waiting || jobs[0].Resident != resident {
		return fmt.Errorf("holds %+v, want %d waiting of %d", jobs, waiting, resident)
	}
	return nil
}

// all is the first error of what was found in order.
func all(errs ...error) error { return errors.Join(errs...) }
