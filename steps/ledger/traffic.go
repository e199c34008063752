package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidemark/history"
)

// patience is with one request to the proxy: more than any answer should take.
const patience = 2 * time.Second

// Secret is by what clients authorize themselves where they do.
const Secret = "c2VjcmV0Cg"

// Send sends requests through node 1. How: "" one after the other, "at once", "0.3 s apart", "with 10 kB each",
// "with a secret each" or "to both services in turn". Each has to be answered as is right.
func (l *Ledger) Send(ctx context.Context, count int, how string) error {
	if err := l.s.Up(ctx); err != nil {
		return err
	}
	var pause time.Duration
	header, services := http.Header{}, []string{first}
	words := strings.Fields(how)
	switch {
	case how == "at once":
		return l.atOnce(ctx, count)
	case how == "to both services in turn":
		services = []string{first, second}
	case how == "with a secret each":
		header.Set("Authorization", "Basic "+Secret)
	case len(words) == 3: // 0.3 s apart
		seconds, _ := strconv.ParseFloat(words[0], 64)
		pause = time.Duration(seconds * float64(time.Second))
	case len(words) == 4: // with 10 kB each
		kilobytes, _ := strconv.Atoi(words[1])
		for n := range kilobytes { // servers bound the length of one header, some at 8 kB
			header.Set("Padding-"+strconv.Itoa(n), strings.Repeat("x", 1000))
		}
	}
	defer l.acts()
	for i := range count {
		if pause > 0 && i > 0 {
			l.s.Pass(ctx, pause)
		}
		if err := l.one(ctx, l.next(), services[i%len(services)], header); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) atOnce(ctx context.Context, count int) error {
	defer l.acts()
	errs := make([]error, count)
	var all sync.WaitGroup
	for i := range count {
		number := l.next()
		all.Go(func() { errs[i] = l.one(ctx, number, first, nil) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Start sends one request and does not wait for its answer, only for the upstream to have it.
func (l *Ledger) Start(ctx context.Context) error {
	if err := l.s.Up(ctx); err != nil {
		return err
	}
	number, before := l.next(), len(l.s.Cluster.Upstream().Received())
	l.s.Go(func() { _ = l.one(ctx, number, first, nil) }) // that it was answered shows in that it is logged
	if !l.s.Until(ctx, l.s.History.Now().Add(patience), func() bool { return len(l.s.Cluster.Upstream().Received()) > before }) {
		return history.Doubtf("request %d did not reach the upstream", number)
	}
	return nil
}

// next numbers a request.
func (l *Ledger) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, history.Made{})
	return len(l.made)
}

// one sends a request and notes when. An answer that does not come in time breaks what a proxy is for.
func (l *Ledger) one(ctx context.Context, number int, service string, header http.Header) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e := history.Entry{Kind: history.KindRequest, Node: 1, Start: l.s.History.Now()}
	e.Request = fmt.Sprintf("GET %s%s/%d", l.s.Cluster.Node(1).DirectProxyURL(), service, number)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimPrefix(e.Request, "GET "), nil)
	if err != nil {
		return err
	}
	maps.Copy(r.Header, header)
	answer, err := l.s.Do(r)
	if err == nil {
		e.Status = answer.StatusCode
		_, err = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	e.End = l.s.History.Now()
	l.s.History.Record(e)
	l.mu.Lock()
	l.made[number-1] = history.Made{Sent: e.Start, Answered: e.End}
	l.mu.Unlock()
	if err == nil && e.Status == l.answered {
		return nil
	}
	actual := fmt.Sprint(e.Status)
	if err != nil {
		actual = err.Error()
	}
	return l.s.Judge(&history.Violation{Expected: fmt.Sprintf("request %d to be answered %d, whatever becomes of its log", number, l.answered), Actual: actual, Node: 1, Request: e.Request}, e.Start)
}

// Compare sends requests to both services in turn, and keeps how long each was waited for.
func (l *Ledger) Compare(ctx context.Context, each int) error {
	for range each {
		for i, service := range []string{first, second} {
			number := l.next()
			if err := l.one(ctx, number, service, nil); err != nil {
				return err
			}
			m := l.made[number-1]
			l.speed[i] = append(l.speed[i], m.Answered.Sub(m.Sent))
		}
	}
	l.acts()
	return nil
}

// Unhurt judges them.
func (l *Ledger) Unhurt() error {
	return l.s.Judge(history.Unhurt(l.speed[0], l.speed[1]), l.acted)
}

// Answered judges that no request was waited for longer than the bound.
func (l *Ledger) Answered(bound string) error {
	within, err := l.bound(bound, 0)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range l.made {
		if took := m.Answered.Sub(m.Sent); took > within {
			return l.s.Judge(&history.Violation{Expected: fmt.Sprintf("request %d to be answered within %v", i+1, within), Actual: took.String(), Node: 1}, m.Sent)
		}
	}
	return l.s.Judge(nil, l.acted)
}
