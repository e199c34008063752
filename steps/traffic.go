package steps

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tidemark/history"
	"tidemark/steps/stage"
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
	return w.Each(ctx, who, func(node int) error { return w.immediate(ctx, node, w.change.looks) })
}

func (w *World) showsWithin(ctx context.Context, who, bound string) error {
	return w.Each(ctx, who, func(node int) error { return w.converges(ctx, node, bound, w.turns) })
}

func (w *World) stillShowsTheOldState(ctx context.Context, who, window string) error {
	return w.stays(ctx, who, window, func(l stage.Look) string { return l.Old })
}

func (w *World) showsItAndNothingElse(ctx context.Context, who, window string) error {
	return w.stays(ctx, who, window, func(l stage.Look) string { return l.New })
}

func (w *World) doesNotShowItBeforeTheDelay(ctx context.Context, who string) error {
	return w.Each(ctx, who, func(node int) error { return w.notEarlier(ctx, node) })
}

func (w *World) noNodeEverGoesBack(ctx context.Context) error {
	return w.Each(ctx, "every node", func(node int) error { return w.neverBack(node) })
}

// immediate judges that a node shows the change from the next request on, with one request more.
func (w *World) immediate(ctx context.Context, node int, looks []stage.Look) error {
	w.Until(ctx, w.origin.Add(w.Bounds.Immediate), func() bool { return false })
	var errs []error
	for _, l := range looks {
		w.See(ctx, l, node)
		t := w.turn(l)
		t.Answered = w.origin
		errs = append(errs, w.Judge(history.Immediate(w.History.Entries(), t, node, w.Bounds.Immediate), w.origin))
		errs = append(errs, w.Show(ctx, l, node, l.New))
	}
	return errors.Join(errs...)
}

// turn returns what a look sees of the change.
func (w *World) turn(l stage.Look) history.Turn {
	for _, t := range w.turns {
		if t.Subject == l.Subject() {
			return t
		}
	}
	return history.Turn{Change: w.change.name, Subject: l.Subject(), Old: l.Old, New: l.New, Sent: w.origin, Answered: w.origin}
}

// converges waits for the turns to be seen on a node and judges when that was.
func (w *World) converges(ctx context.Context, node int, bound string, turns []history.Turn) error {
	if len(turns) == 0 {
		return errNoChange
	}
	d, err := w.deadline(ctx, node, bound, turns[0].Sent)
	if err != nil {
		return err
	}
	for _, t := range turns {
		var p history.Propagation
		w.Until(ctx, d.Since.Add(d.Within+4*d.Settle+w.Bounds.Slack), func() bool {
			p, err = history.Converged(w.History.Entries(), t, node, d)
			return err == nil || isViolation(err)
		})
		if err := w.Judge(err, d.Since); err != nil {
			return err
		}
		if isPropagation(bound) && len(w.Cluster.Faults()) == 0 && !w.origin.After(t.Answered) {
			w.out.Propagation = append(w.out.Propagation, p)
		}
	}
	return w.showAll(ctx, node, turns)
}

// showAll asserts the new states once more, with a request for each.
func (w *World) showAll(ctx context.Context, node int, turns []history.Turn) error {
	var errs []error
	for _, l := range w.change.looks {
		if t := w.turn(l); l.New == t.New {
			errs = append(errs, w.Show(ctx, l, node, t.New))
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

// errNoChange says that a sentence has nothing to judge.
var errNoChange = errors.New("judge a change: none was made")

// deadline gives a bound by its name in the sentences.
func (w *World) deadline(ctx context.Context, node int, name string, sent time.Time) (history.Deadline, error) {
	d := history.Deadline{Name: name, Since: w.origin, Settle: w.Bounds.Settle, Poll: w.Interval(node), Gap: w.Bounds.Slack / 2}
	switch name {
	case "propagation":
		d.Within = w.Bounds.Propagation
	case "heal":
		d.Within = w.Bounds.Heal
	case "cache TTL":
		d.Within = w.Settings.Duration("db_cache_ttl") + w.Bounds.Tight
	case "miss TTL":
		d.Within = w.Settings.Duration("db_cache_neg_ttl") + w.Bounds.Tight
	case "tight":
		d.Within = w.Bounds.Tight
		return d, w.tighten(ctx, node, sent, &d)
	default:
		return d, fmt.Errorf("find the bound %q: there are propagation, heal, tight, cache TTL and miss TTL", name)
	}
	return d, nil
}

// tighten counts a bound from the poll that has to find the change, or from the end of its propagation delay.
func (w *World) tighten(ctx context.Context, node int, sent time.Time, d *history.Deadline) error {
	if !w.Until(ctx, w.origin.Add(w.Bounds.Propagation), func() bool { return len(w.Polls(node, w.origin)) > 0 }) {
		return history.Doubtf("no poll of node %d was seen after the change", node)
	}
	d.Since = w.Polls(node, w.origin)[0]
	if end := sent.Add(w.Settings.Duration("db_update_propagation")); end.After(d.Since) {
		d.Since = end
	}
	return nil
}

// stays lets a window pass and judges that nodes showed one state in it. In a part of a poll interval
// a node must not have polled, or it may know better.
func (w *World) stays(ctx context.Context, who, window string, state func(stage.Look) string) error {
	length, err := w.length(window)
	if err != nil {
		return err
	}
	if err := w.Up(ctx); err != nil {
		return err
	}
	now := w.Pass(ctx, length)
	return w.Each(ctx, who, func(node int) error {
		if length < w.Bounds.Poll && len(w.turns) > 0 {
			if polled := w.Polls(node, w.turns[0].Sent); len(polled) > 0 && polled[0].Before(now.To) {
				return history.Doubtf("node %d polled between the change and the end of the window", node)
			}
		}
		var errs []error
		for _, l := range w.change.looks {
			errs = append(errs, w.Judge(history.Steady(w.History.Entries(), l.Subject(), node, state(l), now), now.From))
		}
		return errors.Join(errs...)
	})
}

// length reads a window: "3 polls", "1 poll", "half poll", "1.5 s".
func (w *World) length(window string) (time.Duration, error) {
	count, unit, _ := strings.Cut(window, " ")
	if n, err := strconv.ParseFloat(count, 64); err == nil && unit == "s" {
		return seconds(n), nil
	}
	if count == "half" {
		return w.Bounds.Poll / 2, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return 0, fmt.Errorf("read the window %q: %w", window, err)
	}
	return time.Duration(n) * w.Bounds.Poll, nil
}

// notEarlier waits for the end of the propagation delay and judges that nothing was seen before.
func (w *World) notEarlier(ctx context.Context, node int) error {
	delay := w.Settings.Duration("db_update_propagation")
	if len(w.turns) == 0 {
		return errNoChange
	}
	var errs []error
	for _, t := range w.turns {
		w.Until(ctx, t.Sent.Add(delay+w.Bounds.Slack), func() bool { return w.History.Now().After(t.Sent.Add(delay + 2*stage.Pace)) })
		errs = append(errs, w.Judge(history.NotEarlier(w.History.Entries(), t, node, delay, w.Bounds.Slack/2), t.Sent))
	}
	return errors.Join(errs...)
}

// neverBack judges the whole scenario.
func (w *World) neverBack(node int) error {
	if len(w.turns) == 0 {
		return errNoChange
	}
	var errs []error
	for _, t := range w.turns {
		errs = append(errs, w.Judge(history.NeverBack(w.History.Entries(), t, node), t.Sent))
	}
	return errors.Join(errs...)
}
