package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tidemark/cluster"
	"tidemark/history"
	"tidemark/report"
	"tidemark/steps"
	"tidemark/target"
)

// Options say what is run, on what, and who is told.
type Options struct {
	Content   fs.FS // holds features/
	Version   string
	Target    *target.Target
	Program   string
	Selection Selection

	Cells    int // at most so many scenarios at once; 16 unless given
	Seed     uint64
	Repeat   int // plays of each scenario; 1 unless given
	Shuffle  bool
	FailFast bool
	Timeout  time.Duration // of the whole run; 0: none
	Defects  []string
	Set      map[string]string // node settings; a scenario's own sentences win
	Out      string            // folder in which the run makes its own

	Observer Observer
	Keep     func(ctx context.Context, k Kept) // called at the first failure, once nothing else runs and before its cluster is taken down; may be nil
	Log      *slog.Logger
	Open     func(ctx context.Context, o LabOptions) (Lab, error) // OpenLab unless given
}

// An Observer is told of a run while it goes on. It is called from one goroutine at a time.
type Observer interface {
	Begin(r *report.Results, total int)
	Start(scenario string)
	Finish(s report.Scenario)
}

// Kept is a cluster that is left up: how to reach what runs in it, a line each, and where its logs lie.
type Kept struct {
	Scenario  string
	Addresses []string
	Logs      string
}

// playLimit ends a scenario that hangs. None is made to last longer than 12 s.
const playLimit = 90 * time.Second

// Run plays what is selected and returns the results, their folder and the error that ended the run
// early, if any: a [*UsageError], [*FeatureError] or [*target.Error] before anything started, else one
// that the results carry as well. When ctx ends, what runs is stopped and cleaned up, and the results
// tell what ran.
func Run(ctx context.Context, o Options) (*report.Results, string, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, "", err
	}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("the run took longer than %s", o.Timeout))
		defer cancel()
	}
	if r.folder, err = report.NewFolder(o.Out, r.started); err != nil {
		return nil, "", err
	}
	results := r.perform(ctx)
	return results, r.folder, errors.Join(r.broken, report.Write(r.folder, results))
}

// perform plays all and returns what it came to.
func (r *run) perform(ctx context.Context) *report.Results {
	r.o.Observer.Begin(r.results(), len(r.queue))
	for _, s := range r.all {
		if records := r.records[s.ID]; len(records) > 0 { // decided before anything is played
			r.o.Observer.Finish(r.scenario(s))
		}
	}
	var stop func()
	r.pressure, stop = watch()
	defer stop()
	r.broken = r.play(ctx)
	if ctx.Err() != nil && !r.waited {
		r.stopped = context.Cause(ctx)
	}
	return r.results()
}

// A run is one run going on.
type run struct {
	o          Options
	all        []Scenario
	statements []Statement
	digest     string
	queue      []play
	started    time.Time
	folder     string
	nodes      int
	settings   target.Settings
	pressure   *pressure

	mu       sync.Mutex
	records  map[string][]record // by scenario
	running  int
	kept     bool
	waited   bool  // all had ended, and a kept cluster was waited for: the end of that is no stop
	halted   bool  // no further scenario starts
	stopped  error // the caller, or the time limit, ended the run
	broken   error // the harness did
	duration time.Duration
}

// A play is one repetition of one scenario.
type play struct {
	scenario Scenario
	n        int
	estimate time.Duration
}

// A record is what one play came to.
type record struct {
	n int
	Judgment
	played Played
	files  []string
	trace  string
	told   report.Verdict // to the observer, while its cluster was kept
	late   bool           // it could not be judged, and this machine was too busy while it ran
}

func newRun(o Options) (*run, error) {
	o.Cells, o.Repeat = max(cmp.Or(o.Cells, 16), 1), max(o.Repeat, 1)
	if o.Open == nil {
		o.Open = OpenLab
	}
	r := &run{o: o, started: time.Now(), records: map[string][]record{}}
	var err error
	if r.all, err = Load(o.Content); err != nil {
		return nil, err
	}
	if r.statements, err = Statements(o.Content); err != nil {
		return nil, err
	}
	if r.digest, err = Digest(o.Content); err != nil {
		return nil, err
	}
	if err := errors.Join(Tagged(r.all, r.statements), Listed(o.Target, r.all)); err != nil {
		return nil, err
	}
	selected, err := Select(r.all, o.Selection)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(Spoken(selected, steps.Phrases()), settable(o.Target, selected, o.Set), knownDefects(o.Target, o.Defects)); err != nil {
		return nil, err
	}
	if r.settings, err = o.Target.Resolve(o.Set); err != nil {
		return nil, usage("%v", err)
	}
	r.plan(selected, report.Durations(o.Out))
	return r, nil
}

// plan orders the plays: those that run alone last, else the longest first, or by chance.
func (r *run) plan(selected []Scenario, known map[string]time.Duration) {
	for _, s := range selected {
		r.nodes = max(r.nodes, s.nodes())
		if why := lacking(s, r.o.Target); why != "" {
			r.records[s.ID] = []record{{n: 1, Judgment: Judgment{Verdict: report.Unsupported, Reason: why}}}
			continue
		}
		r.records[s.ID] = nil
		for n := range r.o.Repeat {
			estimate, found := known[s.ID]
			if !found {
				estimate = s.estimate(r.settings.Duration("db_update_frequency"))
			}
			r.queue = append(r.queue, play{s, n + 1, estimate})
		}
	}
	slices.SortStableFunc(r.queue, func(a, b play) int { return cmp.Compare(b.estimate, a.estimate) })
	if r.o.Shuffle {
		chance := rand.New(rand.NewPCG(r.o.Seed, 0))
		chance.Shuffle(len(r.queue), func(i, j int) { r.queue[i], r.queue[j] = r.queue[j], r.queue[i] })
	}
	slices.SortStableFunc(r.queue, func(a, b play) int { return cmp.Compare(a.alone(), b.alone()) })
}

func (p play) alone() int {
	if slices.Contains(p.scenario.Capabilities, "alone") {
		return 1
	}
	return 0
}

// play opens the lab, plays the queue on it and closes it.
func (r *run) play(ctx context.Context) error {
	if len(r.queue) == 0 {
		return nil
	}
	cells := min(r.o.Cells, len(r.queue))
	lab, err := r.o.Open(ctx, LabOptions{
		Content: r.o.Content, Target: r.o.Target, Program: r.o.Program, Defects: r.o.Defects, Cells: cells,
		Dir: filepath.Join(r.folder, "logs"), Log: r.o.Log,
	})
	if err != nil && ctx.Err() == nil {
		return r.cannotStart(err)
	}
	if err != nil {
		return nil
	}
	together := slices.IndexFunc(r.queue, func(p play) bool { return p.alone() == 1 })
	if together < 0 {
		together = len(r.queue)
	}
	r.playAll(ctx, lab, r.queue[:together], cells)
	r.playAll(ctx, lab, r.queue[together:], 1)
	r.duration = time.Since(r.started)
	if err := lab.Close(); err != nil {
		r.o.Log.Warn("not all is cleaned up", "error", err)
	}
	return nil
}

// cannotStart gives every scenario the reason why the target did not come up. What is no
// setup-error breaks the harness.
func (r *run) cannotStart(err error) error {
	var setup *cluster.SetupError
	if !errors.As(err, &setup) {
		return err
	}
	for _, p := range r.queue {
		r.finish(p, record{n: p.n, Judgment: Judgment{Verdict: report.SetupError, Reason: err.Error()}})
	}
	return nil
}

// playAll plays the queue in its order, so many at once, or fewer while this machine is too busy, until
// it is empty or the run is stopped.
func (r *run) playAll(ctx context.Context, lab Lab, queue []play, atOnce int) {
	free := make(chan struct{}, atOnce)
	var players sync.WaitGroup
	defer players.Wait()
	for _, p := range queue {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		r.pressure.admit(ctx, r.nowRunning)
		if r.ended() || ctx.Err() != nil {
			return
		}
		r.count(+1)
		players.Go(func() {
			defer func() { <-free }()
			defer r.count(-1)
			r.one(ctx, lab, p)
		})
	}
}

func (r *run) count(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running += more
}

func (r *run) nowRunning() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

func (r *run) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.halted
}

// one plays one scenario once and keeps what it left.
func (r *run) one(ctx context.Context, lab Lab, p play) {
	r.mu.Lock()
	r.o.Observer.Start(p.scenario.ID)
	r.mu.Unlock()
	name := fmt.Sprintf("%s.%d", strings.NewReplacer("/", ".", "#", ".").Replace(p.scenario.ID), p.n)
	dir := filepath.Join(r.folder, "logs", name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		r.finish(p, record{n: p.n, Judgment: Judgment{report.Unknown, err.Error(), true}})
		return
	}
	r.finish(p, r.playOnce(ctx, lab, p, name, dir))
}

// playOnce plays, judges and keeps what is left.
func (r *run) playOnce(ctx context.Context, lab Lab, p play, name, dir string) record {
	limited, cancel := context.WithTimeoutCause(ctx, playLimit, fmt.Errorf("the scenario took longer than %s", playLimit))
	defer cancel()
	how := Play{Seed: seedOf(r.o.Seed, p.scenario.ID, p.n), Dir: dir, Settings: r.o.Set}
	rec := record{n: p.n}
	if r.o.Keep != nil {
		how.Keep = func(soFar Played, addresses []string) {
			rec.told = r.keep(ctx, p, soFar, Kept{p.scenario.ID, addresses, dir})
		}
	}
	rec.played = lab.Play(limited, p.scenario, how)
	if ctx.Err() != nil && rec.told == "" {
		rec.Judgment = Judgment{Verdict: report.NotRun, Reason: "stopped while it ran: " + context.Cause(ctx).Error()}
	} else {
		rec.Judgment = r.judge(p, rec.played.Outcome)
	}
	rec.late = rec.Verdict == report.Unknown && r.pressure.within(rec.played.Began, time.Now(), starved)
	red := !slices.Contains([]report.Verdict{report.Pass, report.Unsupported, report.NotRun}, rec.Verdict)
	var err error
	if rec.files, err = report.KeepLogs(r.folder, dir, rec.played.Logs, red); err == nil && rec.played.History != nil {
		rec.trace, err = report.KeepHistory(r.folder, name, rec.played.History)
	}
	if err != nil {
		r.o.Log.Warn("something of the scenario is not kept", "scenario", p.scenario.ID, "error", err)
	}
	return rec
}

func (r *run) judge(p play, o steps.Outcome) Judgment {
	j := Judge(o, r.o.Target.Expectation(p.scenario.ID), time.Now())
	j.Reason = report.Rounded(j.Reason)
	return j
}

// keep leaves the cluster of the first failure up: no further scenario starts, those that run are waited
// for, the failure is told, and then the caller is called. It returns the verdict that
// was told; none where nothing was kept.
func (r *run) keep(ctx context.Context, p play, soFar Played, k Kept) report.Verdict {
	rec := record{n: p.n, Judgment: r.judge(p, soFar.Outcome), played: soFar}
	r.mu.Lock()
	first := !r.kept && slices.Contains([]report.Verdict{report.Fail, report.Unknown}, rec.Verdict)
	r.kept, r.halted = r.kept || first, r.halted || first
	r.mu.Unlock()
	if !first || !r.alone(ctx) {
		return ""
	}
	r.mu.Lock()
	before := r.records[p.scenario.ID]
	r.records[p.scenario.ID] = append(slices.Clone(before), rec)
	r.o.Observer.Finish(r.scenario(p.scenario))
	r.records[p.scenario.ID] = before
	r.waited = true
	r.mu.Unlock()
	r.o.Keep(ctx, k)
	return rec.Verdict
}

// alone waits until only one scenario runs, and says whether that came to be before ctx ended.
func (r *run) alone(ctx context.Context) bool {
	tick := time.NewTicker(history.Beat)
	defer tick.Stop()
	for r.nowRunning() > 1 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

func (r *run) finish(p play, rec record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records[p.scenario.ID] = append(r.records[p.scenario.ID], rec)
	if r.o.FailFast && (rec.Verdict == report.Fail || rec.Harness) {
		r.halted = true
	}
	if len(r.records[p.scenario.ID]) == r.o.Repeat && rec.told != rec.Verdict {
		r.o.Observer.Finish(r.scenario(p.scenario))
	}
}

// seedOf gives each play a seed of its own, the same in each run with the same seed.
func seedOf(seed uint64, id string, n int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", seed, id, n)
	return h.Sum64()
}
