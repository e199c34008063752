// Package steps gives the sentences of the features their meaning.
//
// One [World] plays one scenario on one cell. A step is one sentence and holds no logic: what is done to the
// cluster is done by cluster and toxics, what was seen is judged by history. All sentences stand in one table,
// [Phrases], from which they are registered and listed.
package steps

import (
	"context"
	"log/slog"
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

// A World plays one scenario. It is used by one scenario only and not safe for concurrent use.
type World struct{ env Env }

// New returns a world in which nothing has started yet.
func New(env Env) *World { return &World{env: env} }

// Register makes the sentences known to godog.
func (w *World) Register(sc *godog.ScenarioContext) {}

// Close ends all that the scenario started. Call it before the cell is released.
func (w *World) Close(ctx context.Context) {}

// Outcome says what the scenario came to. Call it after Close.
func (w *World) Outcome() Outcome { return Outcome{} }

// A Phrase is one sentence that an author may say.
type Phrase struct {
	Expression string // a regular expression
	Example    string
	Doc        string
}

// Phrases lists all sentences in the order of reading.
func Phrases() []Phrase { return nil }
