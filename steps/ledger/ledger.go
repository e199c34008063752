// Package ledger keeps the books of a scenario about logging: what was sent through nodes, and what the log
// server got of it.
//
// Requests are numbered in the order in which they are sent, across services. The number is the last part
// of a request's path, and so of what its entry says that was asked: by it an entry is recognized,
// whatever else a product writes into it.
//
// Whether all that could be delivered has been is looked at until a bound: "prompt" is the machine's slack and what
// the log server takes by itself; "delivery" is, besides, how long the queue's parameters let an entry wait.
package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/gavv/httpexpect/v2"

	"tidemark/fixtures/logserver"
	"tidemark/history"
	"tidemark/steps/stage"
)

// A Ledger belongs to one scenario. Its methods are called one after the other.
type Ledger struct {
	s             *stage.Stage
	plugin, queue map[string]any // what the sentences have said of the plugins that come
	upstream      string         // what the path of services begins with
	answered      int            // the status that requests are answered with

	conduct logserver.Conduct
	trouble time.Time // since when nothing can be delivered; zero: it can
	outage  time.Duration
	acted   time.Time // the last act after which something has to be seen
	memory  int64     // of node 1 in bytes, when its requests began to be logged; 0 where it cannot be told

	mu    sync.Mutex
	made  []history.Made    // by number - 1
	read  []history.Arrival // what is finished, as it was read
	speed [2][]time.Duration

	answer *httpexpect.Response // to a plugin that may be refused
}

// New returns an empty one.
func New(s *stage.Stage) *Ledger {
	return &Ledger{s: s, plugin: map[string]any{}, queue: map[string]any{}, answered: http.StatusOK}
}

// Arrivals returns what the log server has got so far, in the order in which it began to arrive.
func (l *Ledger) Arrivals() []history.Arrival {
	if l.s.Cluster == nil {
		return nil
	}
	var all []history.Arrival
	for i, a := range l.s.Cluster.LogServer().Arrivals() {
		if i < len(l.read) {
			all = append(all, l.read[i])
			continue
		}
		one := history.Arrival{From: a.From, To: a.To, Entries: marks(a.Body), Digest: string(a.Body), Path: a.Path, Good: a.Good()}
		all = append(all, one)
		if i == len(l.read) && !a.To.IsZero() {
			l.read = append(l.read, one)
		}
	}
	return all
}

// marks reads the numbers of the requests that a body tells of: one entry, or a list of them.
func marks(body []byte) []string {
	type entry struct {
		Request struct{ URI string }
	}
	var many []entry
	if json.Unmarshal(body, &many) != nil {
		many = make([]entry, 1)
		if json.Unmarshal(body, &many[0]) != nil {
			return nil
		}
	}
	var all []string
	for _, e := range many {
		asked, _, _ := strings.Cut(e.Request.URI, "?")
		all = append(all, path.Base(asked))
	}
	return all
}

// Gets judges that what the log server got is exactly the requests that a sentence speaks of.
func (l *Ledger) Gets(ctx context.Context, which string, d history.Delivery, bound string) error {
	var err error
	if d.Entries, err = l.numbers(which); err != nil {
		return err
	}
	within, err := l.bound(bound, len(d.Entries))
	if err != nil {
		return err
	}
	judge := func() error { return history.Delivered(l.Arrivals(), d) }
	l.s.Until(ctx, l.acted.Add(within), func() bool { return judge() == nil })
	l.s.Pass(ctx, settle) // in which one too many may come
	return l.s.Judge(judge(), l.acted)
}

// settle is how long is looked on whether more comes than should.
const settle = 300 * time.Millisecond

// numbers reads "every request", "request 1" and "requests 1, 7 and 16 to 20".
func (l *Ledger) numbers(which string) ([]string, error) {
	if which == "every request" {
		which = fmt.Sprintf("requests 1 to %d", l.sent())
	}
	_, list, _ := strings.Cut(which, " ")
	var all []string
	for part := range strings.SplitSeq(strings.ReplaceAll(list, " and ", ", "), ", ") {
		var from, to int
		if n, err := fmt.Sscanf(part, "%d to %d", &from, &to); n == 0 {
			return nil, fmt.Errorf("read %q: %w", which, err)
		} else if n == 1 {
			to = from
		}
		for i := from; i <= to; i++ {
			all = append(all, fmt.Sprint(i))
		}
	}
	return all, nil
}

// Judge counts a judgment over all arrivals. The tolerance is what the machine needs, and what this process was
// seen to stand still.
func (l *Ledger) Judge(judge func(all []history.Arrival, tolerance time.Duration) error) error {
	return l.s.Judge(judge(l.Arrivals(), l.s.Bounds.Slack/2+l.s.Jitter()), l.acted)
}

// Tried waits until a request has been tried so often.
func (l *Ledger) Tried(ctx context.Context, number string, least int) error {
	tries := 0
	l.s.Until(ctx, l.s.History.Now().Add(l.waits(least)+l.s.Bounds.Slack), func() bool {
		tries = len(history.Tries(l.Arrivals(), number))
		return tries >= least
	})
	var err error
	if tries < least {
		err = &history.Violation{Expected: fmt.Sprintf("request %s to be tried at least %d times", number, least), Actual: fmt.Sprint(tries)}
	}
	return l.s.Judge(err, l.acted)
}

// TriedExactly judges how often it was tried when more can no longer come.
func (l *Ledger) TriedExactly(ctx context.Context, number string, times int) error {
	if err := l.Tried(ctx, number, times); err != nil {
		return err
	}
	l.s.Pass(ctx, settle)
	var err error
	if tries := len(history.Tries(l.Arrivals(), number)); tries != times {
		err = &history.Violation{Expected: fmt.Sprintf("request %s to be tried %d times", number, times), Actual: fmt.Sprint(tries)}
	}
	return l.s.Judge(err, l.acted)
}

// Made tells when each request was sent and answered, by its number.
func (l *Ledger) Made() map[string]history.Made {
	l.mu.Lock()
	defer l.mu.Unlock()
	made := map[string]history.Made{}
	for i, m := range l.made {
		made[fmt.Sprint(i+1)] = m
	}
	return made
}

// Coalesced judges that batches that did not fill left when they were due.
func (l *Ledger) Coalesced() error {
	made := l.Made()
	full := int(l.number("max_batch_size", 1))
	return l.Judge(func(all []history.Arrival, tolerance time.Duration) error {
		return history.Coalesced(all, made, full, l.duration("max_coalescing_delay", 1), tolerance)
	})
}

// Quiet lets a window pass and judges that nothing came in it.
func (l *Ledger) Quiet(ctx context.Context, length time.Duration) error {
	w := l.s.Pass(ctx, length)
	return l.s.Judge(history.Silent(l.Arrivals(), w), w.From)
}

// acts notes that something was done whose effect is looked for from now on.
func (l *Ledger) acts() { l.acted = l.s.History.Now() }

func (l *Ledger) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.made)
}
