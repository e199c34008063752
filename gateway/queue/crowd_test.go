package queue

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// crowd receives what many senders enqueue at once, and refuses every seventh try.
type crowd struct {
	t     *testing.T
	mu    sync.Mutex
	tries int
	last  map[int]int // of each sender, the last entry that arrived
	got   int
}

// stamp is who sent an entry, and its number.
type stamp struct{ sender, n int }

func (c *crowd) deliver(_ context.Context, entries []Entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tries++; c.tries%7 == 0 {
		return errAway
	}
	for _, e := range entries {
		s := e.Value.(stamp)
		if s.n != c.last[s.sender]+1 {
			c.t.Errorf("%v arrived after %d", s, c.last[s.sender])
		}
		c.last[s.sender] = s.n
		c.got++
	}
	return nil
}

// TestCrowd: many send at once into two queues, each entry arrives once and in its sender's order,
// and the bound holds whenever one looks.
func TestCrowd(t *testing.T) {
	const senders, each = 8, 1000
	s := New(Options{})
	defer s.Close()
	p := batches(10, time.Second)
	p.MaxEntries, p.InitialRetryDelay = senders*each, 100*time.Microsecond
	to := []*crowd{{t: t, last: map[int]int{}}, {t: t, last: map[int]int{}}}
	var sending sync.WaitGroup
	for sender := range senders {
		sending.Go(func() {
			queue := sender % len(to)
			for n := range each {
				if err := s.Enqueue(fmt.Sprint("q", queue), p, to[queue].deliver, Entry{Value: stamp{sender, n + 1}}); err != nil {
					t.Error(err)
				}
			}
			for _, job := range s.Jobs() {
				if job.Waiting > p.MaxEntries || job.Resident > job.Waiting+p.MaxBatchSize {
					t.Errorf("holds too much: %+v", job)
				}
			}
		})
	}
	sending.Wait()
	if lost := s.Flush(t.Context()); lost > 0 {
		t.Errorf("%d lost", lost)
	}
	if got := to[0].got + to[1].got; got != senders*each {
		t.Errorf("%d arrived, want %d", got, senders*each)
	}
}
