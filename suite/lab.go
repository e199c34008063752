package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"

	"tidemark/cluster"
	"tidemark/steps"
	"tidemark/target"
)

// A Lab plays scenarios, each on a clean cluster of its own. It is safe for concurrent use.
type Lab interface {
	// Play runs the scenario and returns what it came to. It blocks until a cluster is free, and
	// returns soon after ctx ends, with everything stopped that it started.
	Play(ctx context.Context, s Scenario, p Play) Played
	Close() error
}

// A Play is one performance of a scenario.
type Play struct {
	Seed     uint64
	Dir      string // for logs; exists
	Settings map[string]string

	// Keep is called with what the play came to so far while the cluster of a failure is still up, and
	// with how to reach what runs in it, a line each. It may be nil.
	Keep func(soFar Played, addresses []string)
}

// Played is what a performance came to.
type Played struct {
	steps.Outcome
	Cell     int
	Began    time.Time
	Duration time.Duration // without the wait for a cell, and for the end of one that is kept
}

// LabOptions say what is played on.
type LabOptions struct {
	Content fs.FS // holds fixtures/
	Target  *target.Target
	Program string
	Defects []string
	Cells   int
	Dir     string
	Log     *slog.Logger
}

// OpenLab opens the lab of this machine: node processes on cells of PostgreSQL and toxiproxy. It fails
// with a [*cluster.SetupError] where the machine lacks something.
func OpenLab(ctx context.Context, o LabOptions) (Lab, error) {
	fixtures, err := fs.Sub(o.Content, "fixtures")
	if err != nil {
		return nil, fmt.Errorf("open the fixtures: %w", err)
	}
	driver, err := cluster.Open(ctx, cluster.Options{
		Target: o.Target, Program: o.Program, Defects: o.Defects, Cells: o.Cells, Dir: o.Dir, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	return &localLab{driver: driver, target: o.Target, fixtures: fixtures, log: o.Log}, nil
}

type localLab struct {
	driver   *cluster.Driver
	target   *target.Target
	fixtures fs.FS
	log      *slog.Logger
}

func (l *localLab) Close() error { return l.driver.Close() }

// cleanUp is how long a cluster may take to end, whatever became of the scenario.
const cleanUp = 20 * time.Second

func (l *localLab) Play(ctx context.Context, s Scenario, p Play) (played Played) {
	cell, err := l.driver.Cell(ctx)
	if err != nil {
		return Played{Outcome: steps.Outcome{Err: setUp(err)}, Began: time.Now()}
	}
	played.Cell, played.Began = cell.Number(), time.Now()
	world := steps.New(steps.Env{
		Cell: cell, Target: l.target, Settings: p.Settings, Seed: p.Seed, Dir: p.Dir, Fixtures: l.fixtures, Logger: l.log,
	})
	godogErr := say(ctx, s, world)
	waited := time.Duration(0)
	if godogErr != nil && p.Keep != nil {
		played.Outcome, played.Duration = world.Outcome(), time.Since(played.Began)
		played.Err = cmp.Or(played.Err, godogErr)
		p.Keep(played, addresses(world.Cluster, l.target))
		waited = time.Since(played.Began) - played.Duration
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	world.Close(end)
	played.Outcome = world.Outcome()
	if played.Err == nil {
		played.Err = godogErr
	}
	played.Duration = time.Since(played.Began) - waited
	if err := cell.Release(end); err != nil {
		l.log.Warn("cell is not clean", "cell", played.Cell, "scenario", s.ID, "error", err)
	}
	return played
}

// addresses tells how to reach the nodes, through the wires that scenarios use as well, and past them
// the database.
func addresses(c *cluster.Cluster, t *target.Target) (lines []string) {
	if c == nil {
		return nil
	}
	database := ""
	for _, n := range c.Nodes() {
		if !n.Running() {
			lines = append(lines, fmt.Sprintf("node %d    does not run", n.Number()))
			continue
		}
		lines = append(lines, fmt.Sprintf("node %d    proxy %s  admin %s  status %s", n.Number(), n.ProxyURL(), n.AdminURL(), n.StatusURL()))
		database = cmp.Or(database, psql(n.Env(), t))
	}
	if database != "" {
		lines = append(lines, "database  "+database)
	}
	return lines
}

// psql is the command that opens the database of a node, as the node's environment has it.
func psql(env []string, t *target.Target) string {
	line := "psql"
	for _, option := range [][2]string{{"-h", "pg_host"}, {"-p", "pg_port"}, {"-U", "pg_user"}, {"-d", "pg_database"}} {
		for _, pair := range env {
			if name, value, _ := strings.Cut(pair, "="); name == t.Start.Env[option[1]] {
				line += " " + option[0] + " " + value
			}
		}
	}
	return line
}

// setUp says of any error that the target could not be brought up.
func setUp(err error) error {
	var already *cluster.SetupError
	if errors.As(err, &already) {
		return err
	}
	return &cluster.SetupError{Err: err}
}

// say has godog say the sentences, one suite for the one scenario. It returns the first error of
// a step; a sentence without a meaning is one.
func say(ctx context.Context, s Scenario, world interface{ Register(*godog.ScenarioContext) }) error {
	var (
		mu    sync.Mutex
		first error
	)
	run := godog.TestSuite{
		Name: s.ID,
		ScenarioInitializer: func(sc *godog.ScenarioContext) {
			sc.After(func(ctx context.Context, _ *godog.Scenario, err error) (context.Context, error) {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
				return ctx, nil
			})
			world.Register(sc)
		},
		Options: &godog.Options{
			Format: "progress", Output: io.Discard, NoColors: true, Strict: true, DefaultContext: ctx,
			FeatureContents: []godog.Feature{{Name: s.URI, Contents: s.text()}},
		},
	}
	status := run.Run()
	mu.Lock()
	defer mu.Unlock()
	if status != 0 && first == nil {
		return fmt.Errorf("play %s: godog ended with %d and no error", s.ID, status)
	}
	return first
}
