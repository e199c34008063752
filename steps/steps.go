// Package steps gives the sentences of the features their meaning.
//
// One [World] plays one scenario on one cell. A step is one sentence and holds no logic: what is done to the
// cluster is done by cluster and toxics, what was seen is judged by history. All sentences stand in one table,
// [Phrases], from which they are registered and listed; what a scenario can be about stands in another, the
// changes, so that a few sentences cover every kind of entity.
//
// Waiting is looking at a condition until a deadline that the target's bounds give. The only fixed lengths
// are the windows in which an absence is judged.
package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"

	"tidemark/cluster"
	"tidemark/history"
	"tidemark/target"
)

// Env is what a scenario is played with.
type Env struct {
	Cell     *cluster.Cell
	Target   *target.Target
	Settings map[string]string // of the run (--set); a scenario's own sentences win
	Seed     uint64
	Dir      string // for what the scenario leaves behind; exists
	Fixtures fs.FS  // the folder fixtures/
	Logger   *slog.Logger
}

// An Outcome is what a scenario came to.
type Outcome struct {
	Err         error  // nil, or of history, cluster, or the harness's own
	Step        string // the sentence that failed
	Checks      int    // judgments made; 0 in a scenario without an error means that it checked nothing
	Bounds      map[string]time.Duration
	Faults      []history.Fault
	Propagation []history.Propagation
	Waiting     time.Duration // spent waiting for the cluster, where a faster machine would not help
	Logs        []string      // files
	History     *history.History
}

// A World plays one scenario and is done. Its steps run one after the other; only its probers run beside them.
type World struct {
	env        Env
	history    *history.History
	watchdog   *history.Watchdog
	client     *http.Client
	complaints complaints
	statement  string // of the scenario, first of its tags
	out        Outcome

	spec     cluster.Spec
	stated   map[string]string // settings of the scenario's own sentences
	cluster  *cluster.Cluster  // nil until a step needs it
	settings target.Settings
	bounds   target.Bounds
	lag      time.Duration // of the replica, as stated

	change    *change        // what the scenario is about
	prepared  time.Time      // when its state before had been made, and no node had read all of it yet
	turns     []history.Turn // what its looks see of it
	origin    time.Time      // from when on it has to be seen: made, healed, purged, started
	key       string         // the API key whose cache entry is spoken of
	window    history.Window // of polls, or of a subject that must not change
	unrelated look           // at a cache entry that no change touches
	loaded    chan string    // what a load under way will show
	workspace string
	traffic   map[int][2]uint64 // bytes to primary and replica, by node
	resyncs   map[int]uint64    // of nodes that missed an event, before
	walk      []typed           // what the walk-through printed

	stop   context.CancelFunc
	wait   sync.WaitGroup
	mu     sync.Mutex
	absent map[int]bool // nodes that are not asked: stopped, frozen
}

// New returns a world in which nothing has started yet.
func New(env Env) *World {
	w := &World{
		env: env, history: history.New(time.Now), watchdog: history.NewWatchdog(time.Now), stop: func() {},
		stated: map[string]string{}, absent: map[int]bool{}, traffic: map[int][2]uint64{}, resyncs: map[int]uint64{},
		client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	w.spec = cluster.Spec{Settings: w.stated, PerNode: map[int]map[string]string{}, Dir: env.Dir, Record: w.history.Record}
	w.out.History = w.history
	return w
}

// Register makes the sentences known to godog, and takes note of the first one that fails.
func (w *World) Register(sc *godog.ScenarioContext) {
	sc.Before(func(ctx context.Context, s *godog.Scenario) (context.Context, error) {
		for _, tag := range s.Tags {
			if strings.ContainsAny(tag.Name, "0123456789") {
				w.statement = strings.TrimPrefix(tag.Name, "@")
			}
		}
		return ctx, nil
	})
	for _, p := range w.phrases() {
		sc.Step("^"+p.Expression+"$", p.step)
	}
	sc.StepContext().After(func(ctx context.Context, s *godog.Step, _ godog.StepResultStatus, err error) (context.Context, error) {
		if w.out.Err == nil && err != nil {
			w.out.Err, w.out.Step = w.attribute(err), s.Text
		}
		return ctx, err
	})
}

// attribute gives a violation the scenario's statement where the judgment named none.
func (w *World) attribute(err error) error {
	var v *history.Violation
	if errors.As(err, &v) && v.Statement == "" {
		v.Statement = w.statement
	}
	return err
}

// Close ends the probers, takes the witnesses' word and stops the nodes. Call it before the cell is released.
func (w *World) Close(ctx context.Context) {
	w.stop()
	w.wait.Wait()
	w.client.CloseIdleConnections()
	if w.cluster == nil {
		return
	}
	w.tellPolls()
	spoilt := w.spoilt(ctx)
	if err := w.cluster.Stop(ctx); err != nil && w.out.Err == nil {
		w.out.Err = fmt.Errorf("stop the cluster: %w", err)
	}
	w.out.Faults = w.cluster.Faults() // healing is part of what witnesses see
	if err := errors.Join(history.Witnessed(w.out.Faults), spoilt); err != nil && w.judged() {
		w.out.Err = err
	}
	for _, n := range w.cluster.Nodes() {
		w.out.Logs = append(w.out.Logs, n.LogPath())
	}
}

// tellPolls puts the polls of all nodes, which were read from their wires, into the history.
func (w *World) tellPolls() {
	for _, n := range w.cluster.Nodes() {
		for _, at := range n.Polls() {
			w.history.Record(history.Entry{Kind: history.KindPoll, Node: n.Number(), Start: at})
		}
	}
}

// judged says whether the scenario came to an end or to a violation: what a missing witness takes back.
func (w *World) judged() bool {
	var v *history.Violation
	return w.out.Err == nil || errors.As(w.out.Err, &v)
}

// Outcome says what the scenario came to. Call it after Close.
func (w *World) Outcome() Outcome {
	w.out.Bounds = map[string]time.Duration{}
	for _, b := range w.bounds.Named() {
		w.out.Bounds[b.Name] = b.Duration
	}
	return w.out
}

// up starts the cluster that the sentences so far have described, unless it is there.
func (w *World) up(ctx context.Context) error {
	if w.cluster != nil {
		return nil
	}
	if w.spec.Nodes == 0 {
		return errors.New("start a cluster: no sentence has said of how many nodes")
	}
	if err := w.measure(); err != nil {
		return err
	}
	for name, value := range w.env.Settings {
		if _, own := w.stated[name]; !own {
			w.stated[name] = value
		}
	}
	c, err := w.env.Cell.Start(ctx, w.spec)
	if err != nil {
		return err
	}
	w.cluster = c
	ctx, w.stop = context.WithCancel(ctx)
	w.wait.Go(func() {
		beat := time.NewTicker(history.Beat)
		defer beat.Stop()
		w.watchdog.Run(ctx, beat.C)
	})
	return nil
}

// measure computes the bounds from the settings in force.
func (w *World) measure() error {
	settings, err := w.env.Target.Resolve(w.stated, w.env.Settings)
	var fixed *target.FixedError
	if errors.As(err, &fixed) {
		return &cluster.UnsupportedError{Why: fixed.Error()}
	}
	if err != nil {
		return err
	}
	w.settings, w.bounds = settings, w.env.Target.Bounds(settings, w.lag)
	return nil
}

// judge counts a judgment over what was seen since a moment. A violation is excused when the harness itself
// stood still in that time for more than half the slack.
func (w *World) judge(err error, since time.Time) error {
	w.out.Checks++
	return history.Excuse(err, w.watchdog.Gaps(), history.Window{From: since, To: w.history.Now()}, w.bounds.Slack/2)
}

// until looks at a condition every 10 ms and returns whether it came true before the deadline.
func (w *World) until(ctx context.Context, deadline time.Time, condition func() bool) bool {
	began := w.history.Now()
	defer func() { w.out.Waiting += w.history.Now().Sub(began) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if ctx.Err() != nil || w.history.Now().After(deadline) {
			return false
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return true
}

// pass lets a window of absence go by.
func (w *World) pass(ctx context.Context, d time.Duration) history.Window {
	from := w.history.Now()
	w.until(ctx, from.Add(d), func() bool { return w.history.Now().Sub(from) >= d })
	return history.Window{From: from, To: from.Add(d), Gap: w.bounds.Slack / 2}
}
