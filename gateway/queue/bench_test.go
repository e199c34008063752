package queue

import (
	"context"
	"errors"
	"testing"
	"time"
)

// BenchmarkEnqueue is what one entry costs the request that made it (at most 2 µs and 2 allocations),
// encoding apart: into a queue whose server is away and which is full, and into one that delivers as
// fast as it can, each entry by itself or 200 at once.
func BenchmarkEnqueue(b *testing.B) {
	away := func(ctx context.Context, _ []Entry) error {
		<-ctx.Done()
		return errors.New("the log server is away")
	}
	fine := func(context.Context, []Entry) error { return nil }
	for _, c := range []struct {
		name  string
		batch int
		to    Handler
	}{
		{"full", 200, away},
		{"single", 1, fine},
		{"batched", 200, fine},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := New(Options{})
			defer s.Close()
			p := Params{
				MaxBatchSize: c.batch, MaxCoalescingDelay: time.Second, MaxEntries: 10_000,
				MaxRetryTime: time.Minute, InitialRetryDelay: 10 * time.Millisecond, MaxRetryDelay: time.Minute, ConcurrencyLimit: 1,
			}
			e := Entry{Data: make([]byte, 1000), Text: true}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Enqueue("logs", p, c.to, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
