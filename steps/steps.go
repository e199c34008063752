// Package steps gives the sentences of the features their meaning.
//
// One [World] plays one scenario on one cell. A step is one sentence and holds no logic: what is done to the
// cluster is done by cluster and toxics, what was seen is judged by history. All sentences stand in one table,
// [Phrases], from which they are registered and listed; what a scenario can be about stands in another, the
// changes, so that a few sentences cover every kind of entity. What both act on is the [stage.Stage]; what is
// logged, and what of it arrives, is kept by the [ledger.Ledger].
//
// It is longer than a room should be by its two tables, which are values: a sentence more is a line there and
// a step of a few lines, and each is reused by many scenarios.
package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/cucumber/godog"

	"tidemark/cluster"
	"tidemark/history"
	"tidemark/steps/ledger"
	"tidemark/steps/stage"
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

// A World plays one scenario and is done.
type World struct {
	*stage.Stage
	env       Env
	logs      *ledger.Ledger
	statement string // of the scenario, first of its tags
	out       Outcome

	change    *change           // what the scenario is about
	prepared  time.Time         // when its state before had been made, and no node had read all of it yet
	turns     []history.Turn    // what its looks see of it
	origin    time.Time         // from when on it has to be seen: made, healed, purged, started
	key       string            // the API key whose cache entry is spoken of
	window    history.Window    // of polls, or of a subject that must not change
	unrelated stage.Look        // at a cache entry that no change touches
	loaded    chan string       // what a load under way will show
	traffic   map[int][2]uint64 // bytes to primary and replica, by node
	resyncs   map[int]uint64    // of nodes that missed an event, before
	frozen    time.Time         // since when a node stands still
	walk      []typed           // what the walk-through printed
}

// New returns a world in which nothing has started yet.
func New(env Env) *World {
	on := stage.New(stage.Options{Cell: env.Cell, Target: env.Target, Settings: env.Settings, Dir: env.Dir})
	return &World{
		Stage: on, logs: ledger.New(on), env: env, traffic: map[int][2]uint64{}, resyncs: map[int]uint64{},
	}
}

// Register makes the sentences known to godog, and takes note of the first one that fails.
func (w *World) Register(sc *godog.ScenarioContext) {
	sc.Before(func(ctx context.Context, s *godog.Scenario) (context.Context, error) {
		for _, tag := range s.Tags {
			if w.statement == "" && strings.ContainsAny(tag.Name, "0123456789") {
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

// Close takes the witnesses' word and ends all that runs. Call it before the cell is released.
func (w *World) Close(ctx context.Context) {
	spoilt := w.spoilt(ctx)
	faults, err := w.Down(ctx)
	if err != nil && w.out.Err == nil {
		w.out.Err = fmt.Errorf("stop the cluster: %w", err)
	}
	if err := errors.Join(history.Witnessed(faults), spoilt); err != nil && w.judged() {
		w.out.Err = err
	}
	w.out.Faults = faults
	if w.Cluster != nil {
		for _, n := range w.Cluster.Nodes() {
			w.out.Logs = append(w.out.Logs, n.LogPath())
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
	w.out.History, w.out.Checks, w.out.Waiting = w.History, w.Checks, w.Waiting
	w.out.Bounds = map[string]time.Duration{}
	for _, b := range w.Bounds.Named() {
		w.out.Bounds[b.Name] = b.Duration
	}
	return w.out
}
