package ledger

import (
	"fmt"
	"math"
	"time"
)

// number is a parameter of the queue, as stated or by default.
func (l *Ledger) number(name string, otherwise float64) float64 {
	switch v := l.queue[name].(type) {
	case int:
		return float64(v)
	case float64:
		return v
	}
	return otherwise
}

func (l *Ledger) duration(name string, otherwise float64) time.Duration {
	return time.Duration(l.number(name, otherwise) * float64(time.Second))
}

// wait is how long the queue waits after the n-th failure, from 0, by the documents: twice as long each time
// up to a limit.
func (l *Ledger) wait(n int) time.Duration {
	longest := min(l.duration("max_retry_delay", 60), max(l.duration("max_retry_time", 60), 0))
	wait := l.number("initial_retry_delay", 0.01) * math.Pow(2, float64(n))
	return time.Duration(min(wait, longest.Seconds()) * float64(time.Second))
}

// waits is how long that many tries take where each fails at once.
func (l *Ledger) waits(tries int) time.Duration {
	var sum time.Duration
	for n := range tries {
		sum += l.wait(n)
	}
	return sum
}

// under is the longest wait that may be under way: after an outage of some length, the first that reaches beyond it.
func (l *Ledger) under(outage time.Duration) time.Duration {
	n := 0
	for sum := time.Duration(0); sum < outage && n < 60; n++ {
		sum += max(l.wait(n), time.Millisecond)
	}
	return l.wait(n)
}

// bound gives one by its name, for a number of entries that may have to be delivered one after the other.
func (l *Ledger) bound(name string, entries int) (time.Duration, error) {
	prompt := l.s.Bounds.Slack + time.Duration(entries)*l.conduct.Delay
	switch name {
	case "prompt":
		return prompt, nil
	case "delivery":
		wait := l.waits(l.conduct.Times)
		if l.outage > 0 {
			wait += l.under(l.outage)
		}
		if l.number("max_batch_size", 1) > 1 {
			wait += l.duration("max_coalescing_delay", 1)
		}
		return wait + prompt, nil
	}
	return 0, fmt.Errorf("find the bound %q: there are prompt and delivery", name)
}

// LongestWait is the longest that the queue may wait between two tries.
func (l *Ledger) LongestWait() time.Duration { return l.wait(60) }
