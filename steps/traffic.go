package steps

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tidemark/history"
)

func (w *World) everyNodeIsReadyFor(ctx context.Context, name string) error {
	c, err := changeNamed(name)
	if err != nil {
		return err
	}
	return w.readyFor(ctx, c)
}

func (w *World) isMadeThrough(ctx context.Context, name string, node int) error {
	return w.makes(ctx, name, node, nil)
}

func (w *World) showsFromTheNextRequestOn(ctx context.Context, who string) error {
	return w.each(ctx, who, func(node int) error { return w.immediate(ctx, node, w.change.looks) })
}

func (w *World) showsWithin(ctx context.Context, who, bound string) error {
	return w.each(ctx, who, func(node int) error { return w.converges(ctx, node, bound, w.turns) })
}

func (w *World) showsTheLastStateOfEach(ctx context.Context, bound string) error {
	return w.showsWithin(ctx, "every node", bound)
}

func (w *World) stillShowsTheOldState(ctx context.Context, who, window string) error {
	return w.stays(ctx, who, window, func(l look) string { return l.old })
}

func (w *World) showsItAndNothingElse(ctx context.Context, who, window string) error {
	return w.stays(ctx, who, window, func(l look) string { return l.new })
}

func (w *World) doesNotShowItBeforeTheDelay(ctx context.Context, who string) error {
	return w.each(ctx, who, func(node int) error { return w.notEarlier(ctx, node) })
}

func (w *World) noNodeEverGoesBack(ctx context.Context) error {
	return w.each(ctx, "every node", func(node int) error { return w.neverBack(node) })
}

// immediate judges that a node shows the change from the next request on, with one request more.
func (w *World) immediate(ctx context.Context, node int, looks []look) error {
	w.until(ctx, w.origin.Add(w.bounds.Immediate), func() bool { return false })
	var errs []error
	for _, l := range looks {
		w.see(ctx, l, node)
		t := w.turn(l)
		t.Answered = w.origin
		errs = append(errs, w.judge(history.Immediate(w.history.Entries(), t, node, w.bounds.Immediate), w.origin))
		errs = append(errs, w.show(ctx, l, node, l.new))
	}
	return errors.Join(errs...)
}

// turn returns what a look sees of the change.
func (w *World) turn(l look) history.Turn {
	for _, t := range w.turns {
		if t.Subject == l.subject() {
			return t
		}
	}
	return history.Turn{Change: w.change.name, Subject: l.subject(), Old: l.old, New: l.new, Sent: w.origin, Answered: w.origin}
}

// converges waits for the turns to be seen on a node and judges when that was.
func (w *World) converges(ctx context.Context, node int, bound string, turns []history.Turn) error {
	if len(turns) == 0 {
		return errors.New("judge a change: none was made")
	}
	d, err := w.deadline(ctx, node, bound, turns[0].Sent)
	if err != nil {
		return err
	}
	for _, t := range turns {
		var p history.Propagation
		w.until(ctx, d.Since.Add(d.Within+d.Settle+w.bounds.Slack), func() bool {
			p, err = history.Converged(w.history.Entries(), t, node, d)
			return err == nil || isViolation(err)
		})
		if err := w.judge(err, d.Since); err != nil {
			return err
		}
		if isPropagation(bound) && len(w.cluster.Faults()) == 0 && !w.origin.After(t.Answered) {
			w.out.Propagation = append(w.out.Propagation, p)
		}
	}
	return w.showAll(ctx, node, turns)
}

// showAll asserts the new states once more, with a request for each.
func (w *World) showAll(ctx context.Context, node int, turns []history.Turn) error {
	var errs []error
	for _, l := range w.change.looks {
		if t := w.turn(l); l.new == t.New {
			errs = append(errs, w.show(ctx, l, node, t.New))
		}
	}
	return errors.Join(errs...)
}

// isPropagation says whether a bound is about an event on its way, and not about age or healing.
func isPropagation(bound string) bool { return bound == "propagation" || bound == "tight" }

func isViolation(err error) bool {
	var v *history.Violation
	return errors.As(err, &v)
}

// deadline gives a bound by its name in the sentences.
func (w *World) deadline(ctx context.Context, node int, name string, sent time.Time) (history.Deadline, error) {
	d := history.Deadline{Name: name, Since: w.origin, Settle: w.bounds.Settle, Poll: w.interval(node)}
	switch name {
	case "propagation":
		d.Within = w.bounds.Propagation
	case "heal":
		d.Within = w.bounds.Heal
	case "cache TTL":
		d.Within = w.settings.Duration("db_cache_ttl") + w.bounds.Tight
	case "miss TTL":
		d.Within = w.settings.Duration("db_cache_neg_ttl") + w.bounds.Tight
	case "tight":
		d.Within = w.bounds.Tight
		return d, w.tighten(ctx, node, sent, &d)
	default:
		return d, fmt.Errorf("find the bound %q: there are propagation, heal, tight, cache TTL and miss TTL", name)
	}
	return d, nil
}

// tighten counts a bound from the poll that has to find the change, or from the end of its propagation delay.
func (w *World) tighten(ctx context.Context, node int, sent time.Time, d *history.Deadline) error {
	if !w.until(ctx, w.origin.Add(w.bounds.Propagation), func() bool { return len(w.polls(node, w.origin)) > 0 }) {
		return history.Doubtf("no poll of node %d was seen after the change", node)
	}
	d.Since = w.polls(node, w.origin)[0]
	if end := sent.Add(w.settings.Duration("db_update_propagation")); end.After(d.Since) {
		d.Since = end
	}
	return nil
}

// stays lets a window pass and judges that nodes showed one state in it. In a part of a poll interval
// a node must not have polled, or it may know better.
func (w *World) stays(ctx context.Context, who, window string, state func(look) string) error {
	length, err := w.length(window)
	if err != nil {
		return err
	}
	if err := w.up(ctx); err != nil {
		return err
	}
	now := w.pass(ctx, length)
	return w.each(ctx, who, func(node int) error {
		if length < w.bounds.Poll && len(w.turns) > 0 {
			if polled := w.polls(node, w.turns[0].Sent); len(polled) > 0 && polled[0].Before(now.To) {
				return history.Doubtf("node %d polled between the change and the end of the window", node)
			}
		}
		var errs []error
		for _, l := range w.change.looks {
			errs = append(errs, w.judge(history.Steady(w.history.Entries(), l.subject(), node, state(l), now), now.From))
		}
		return errors.Join(errs...)
	})
}

// length reads a window: "3 polls", "1 poll", "half poll".
func (w *World) length(window string) (time.Duration, error) {
	count, _, _ := strings.Cut(window, " ")
	if count == "half" {
		return w.bounds.Poll / 2, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return 0, fmt.Errorf("read the window %q: %w", window, err)
	}
	return time.Duration(n) * w.bounds.Poll, nil
}

// notEarlier waits for the end of the propagation delay and judges that nothing was seen before.
func (w *World) notEarlier(ctx context.Context, node int) error {
	delay := w.settings.Duration("db_update_propagation")
	var errs []error
	for _, t := range w.turns {
		w.until(ctx, t.Sent.Add(delay+w.bounds.Slack), func() bool { return w.history.Now().After(t.Sent.Add(delay + 2*pace)) })
		errs = append(errs, w.judge(history.NotEarlier(w.history.Entries(), t, node, delay, w.bounds.Slack/2), t.Sent))
	}
	return errors.Join(errs...)
}

// neverBack judges the whole scenario.
func (w *World) neverBack(node int) error {
	var errs []error
	for _, t := range w.turns {
		errs = append(errs, w.judge(history.NeverBack(w.history.Entries(), t, node), t.Sent))
	}
	return errors.Join(errs...)
}
