package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tidemark/fixtures/logserver"
	"tidemark/history"
	"tidemark/toxics"
)

// Misbehave has the log server do what a sentence says: "hangs", "answers 500", "takes 0.2 s to answer", … Times is
// for how many requests; 0: until it is well.
func (l *Ledger) Misbehave(ctx context.Context, how string, times int) error {
	if err := l.s.Up(ctx); err != nil {
		return err
	}
	l.trouble = l.s.History.Now()
	words := strings.Fields(how)
	c := logserver.Conduct{Times: times}
	switch {
	case how == "is away":
		_, err := l.s.Cluster.Inflict(ctx, toxics.CutFromLogServer)
		return err
	case how == "reads nothing":
		_, err := l.s.Cluster.Inflict(ctx, toxics.HeldFromLogServer)
		return err
	case how == "hangs":
		c.Hang = true
	case how == "resets connections":
		c.Reset = true
	case how == "cuts connections after reading":
		c.Cut = true
	case words[0] == "answers":
		c.Status, _ = strconv.Atoi(words[1])
	case words[0] == "takes":
		seconds, _ := strconv.ParseFloat(words[1], 64)
		c.Delay, l.trouble = time.Duration(seconds*float64(time.Second)), time.Time{}
	default:
		return fmt.Errorf("have the log server do %q: it cannot", how)
	}
	if times > 0 { // it ends by itself
		l.trouble = time.Time{}
	}
	l.conduct = c
	l.s.Cluster.LogServer().Behave("", c)
	l.s.History.Record(history.Entry{Kind: history.KindNode, Subject: "the log server " + how})
	return nil
}

// Recover has it behave again.
func (l *Ledger) Recover(ctx context.Context) error {
	if !l.trouble.IsZero() {
		l.outage, l.trouble = l.s.History.Now().Sub(l.trouble), time.Time{}
	}
	l.conduct = logserver.Conduct{}
	l.s.Cluster.LogServer().Behave("", l.conduct)
	err := l.s.Cluster.Heal(ctx)
	l.s.History.Record(history.Entry{Kind: history.KindNode, Subject: "the log server is well"})
	l.acts()
	return err
}

// Delivering sends one request and waits until it is on its way to the log server: from then on it no longer waits in
// the queue.
func (l *Ledger) Delivering(ctx context.Context) error {
	if err := l.Send(ctx, 1, ""); err != nil {
		return err
	}
	number := fmt.Sprint(l.sent())
	there := func() bool { return len(history.Tries(l.Arrivals(), number)) > 0 }
	if !l.s.Until(ctx, l.acted.Add(patience), there) {
		return l.s.Judge(&history.Violation{Expected: "request " + number + " to be on its way to the log server", Actual: "nothing arrived"}, l.acted)
	}
	return nil
}

// An Arrival is one delivery as the log server has it.
type Arrival = logserver.Arrival

// Each judges something of every delivery, by the log server's record.
func (l *Ledger) Each(what string, holds func(Arrival) bool) error {
	for _, a := range l.s.Cluster.LogServer().Arrivals() {
		if !holds(a) {
			actual := fmt.Sprintf("%s %s?%s of %s: %s", a.Method, a.Path, a.Query, a.Host, a.Body[:min(len(a.Body), 300)])
			return l.s.Judge(&history.Violation{Expected: "each delivery to have " + what, Actual: actual}, l.acted)
		}
	}
	return l.s.Judge(nil, l.acted)
}
