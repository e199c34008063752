package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tidemark/report"
	"tidemark/target"
)

// A Matrix is the proof that the suite can fail: each defect of the reference against the scenarios
// that the target's file says it must turn red.
type Matrix struct {
	Rows  []MatrixRow               `json:"rows"`
	Sound map[string]report.Verdict `json:"sound,omitempty"` // of the unbroken gateway; none with OnePerDefect

	// Problems are what keeps it from being a proof: a defect that survives, a scenario that no defect
	// turns red, a scenario that is red on the sound gateway.
	Problems []string      `json:"problems"`
	Proof    report.Proof  `json:"proof"`
	Duration report.Millis `json:"duration_ms"`
	Exit     int           `json:"exit"`
	Stopped  bool          `json:"stopped,omitempty"`
}

// A MatrixRow is one defect with what became of its scenarios.
type MatrixRow struct {
	Defect    string       `json:"defect"`
	Scenarios []MatrixCell `json:"scenarios"`
}

// A MatrixCell is one scenario on the broken gateway. Only a fail counts as a kill, and not one in a Given.
type MatrixCell struct {
	ID      string         `json:"id"`
	Verdict report.Verdict `json:"verdict"`
	Reason  string         `json:"reason,omitempty"`
	Step    string         `json:"step,omitempty"`  // the sentence that noticed
	Early   bool           `json:"early,omitempty"` // it only prepares: what the scenario guarantees was not reached
}

// Killed says whether the scenario noticed the defect, and where it states what it guarantees.
func (c MatrixCell) Killed() bool { return c.Verdict == report.Fail && !c.Early }

// ProveOptions say what is proven.
type ProveOptions struct {
	Options
	OnePerDefect bool     // one scenario per defect, and nothing on the sound gateway
	Only         []string // these defects; all where empty
	Known        []string // the defects that the gateway itself lists; not compared where empty
}

// labsAtOnce is how many broken gateways are tried at the same time: most of a scenario is waiting.
const labsAtOnce = 3

// Prove breaks the gateway in each way and plays what must notice. The matrix is complete unless ctx
// ended. It fails with a [*UsageError] where the target's file names a scenario that does not exist.
func Prove(ctx context.Context, o ProveOptions) (*Matrix, string, error) {
	started := time.Now()
	scenarios, err := Load(o.Content)
	if err != nil {
		return nil, "", err
	}
	rows, err := o.rows(scenarios)
	if err != nil {
		return nil, "", err
	}
	folder, err := report.NewFolder(o.Out, started)
	if err != nil {
		return nil, "", err
	}
	m := &Matrix{Rows: rows, Problems: []string{}}
	var broken error
	var sound *report.Results
	if !o.OnePerDefect && len(o.Only) == 0 {
		sound, broken = o.soundly(ctx, folder)
		m.judgeSound(sound, scenarios)
	}
	broken = errors.Join(broken, o.breakAll(ctx, folder, m))
	m.locate(scenarios)
	m.judge(o)
	m.Duration, m.Stopped = report.Millis(time.Since(started)), ctx.Err() != nil
	m.Exit = m.exit(broken != nil)
	if sound != nil {
		sound.Proof = &m.Proof
		broken = errors.Join(broken, report.Write(folder, sound))
	}
	return m, folder, broken
}

// rows expands the target's list: an outline without a row stands for all of its rows.
func (o ProveOptions) rows(scenarios []Scenario) ([]MatrixRow, error) {
	if err := knownDefects(o.Target, o.Only); err != nil {
		return nil, err
	}
	durations := report.Durations(o.Out)
	var rows []MatrixRow
	for _, d := range o.Target.Defects {
		if len(o.Only) > 0 && !slices.Contains(o.Only, d.Name) {
			continue
		}
		if err := knownIDs(scenarios, d.Scenarios); err != nil {
			return nil, usage("defect %s: %v", d.Name, err)
		}
		row := MatrixRow{Defect: d.Name}
		cheapest, least := MatrixCell{}, time.Duration(0)
		for _, s := range scenarios {
			if !named(s, d.Scenarios) {
				continue
			}
			cell := MatrixCell{ID: s.ID, Verdict: report.NotRun}
			row.Scenarios = append(row.Scenarios, cell)
			cost, found := durations[s.ID]
			if !found {
				cost = s.estimate(time.Second)
			}
			if cheapest.ID == "" || cost < least {
				cheapest, least = cell, cost
			}
		}
		if o.OnePerDefect && len(row.Scenarios) > 0 {
			row.Scenarios = []MatrixCell{cheapest}
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, usage("the target %s lists no defects", o.Target.Name)
	}
	return rows, nil
}

// soundly plays everything on the gateway as it is.
func (o ProveOptions) soundly(ctx context.Context, folder string) (*report.Results, error) {
	options := o.Options
	options.Defects, options.Selection = nil, Selection{}
	return playIn(ctx, options, filepath.Join(folder, "sound"))
}

// playIn is [Run] without files of its own in the folder of runs.
func playIn(ctx context.Context, o Options, folder string) (*report.Results, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	if err := report.Furnish(folder); err != nil {
		return nil, err
	}
	r.folder = folder
	results := r.perform(ctx)
	return results, errors.Join(r.broken, report.Write(folder, results))
}

// breakAll fills in the rows, some at a time.
func (o ProveOptions) breakAll(ctx context.Context, folder string, m *Matrix) error {
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		broken  error
	)
	next := make(chan int)
	for range min(labsAtOnce, len(m.Rows)) {
		workers.Go(func() {
			for i := range next {
				err := o.breakOne(ctx, folder, &m.Rows[i], &mu)
				mu.Lock()
				broken = errors.Join(broken, err)
				mu.Unlock()
			}
		})
	}
	for i := range m.Rows {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return broken
}

func (o ProveOptions) breakOne(ctx context.Context, folder string, row *MatrixRow, mu *sync.Mutex) error {
	if len(row.Scenarios) == 0 {
		return nil
	}
	options := o.Options
	options.Defects, options.Observer = []string{row.Defect}, locked{o.Observer, mu}
	options.Cells = max(options.Cells/labsAtOnce, 1)
	options.Selection = Selection{}
	for _, c := range row.Scenarios {
		options.Selection.IDs = append(options.Selection.IDs, c.ID)
	}
	results, err := playIn(ctx, options, filepath.Join(folder, row.Defect))
	if results == nil {
		return fmt.Errorf("break %s: %w", row.Defect, err)
	}
	for i := range row.Scenarios {
		for _, s := range results.Scenarios {
			if s.ID == row.Scenarios[i].ID {
				row.Scenarios[i].Verdict, row.Scenarios[i].Reason = s.Verdict, s.Reason
				if s.Failure != nil {
					row.Scenarios[i].Step = s.Failure.Step
				}
			}
		}
	}
	return err
}

// locate finds out which kills happened while a scenario was still being prepared.
func (m *Matrix) locate(scenarios []Scenario) {
	for _, row := range m.Rows {
		for i := range row.Scenarios {
			c := &row.Scenarios[i]
			for _, s := range scenarios {
				c.Early = c.Early || s.ID == c.ID && s.prepares(c.Step)
			}
		}
	}
}

// locked lets several runs tell one observer.
type locked struct {
	Observer
	mu *sync.Mutex
}

func (l locked) Begin(r *report.Results, total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Observer.Begin(r, total)
}

func (l locked) Start(scenario string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Observer.Start(scenario)
}

func (l locked) Finish(s report.Scenario) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Observer.Finish(s)
}

// judgeSound finds what is red on the sound gateway, and what passes there but is in no row.
func (m *Matrix) judgeSound(sound *report.Results, scenarios []Scenario) {
	if sound == nil {
		return
	}
	m.Sound = map[string]report.Verdict{}
	for _, s := range sound.Scenarios {
		m.Sound[s.ID] = s.Verdict
		mustDie := slices.ContainsFunc(m.Rows, func(row MatrixRow) bool {
			return slices.ContainsFunc(row.Scenarios, func(c MatrixCell) bool { return c.ID == s.ID })
		})
		switch {
		case s.Verdict == report.Fail || s.Verdict == report.UnexpectedPass:
			m.Problems = append(m.Problems, fmt.Sprintf("%s is red on the sound gateway: %s", s.ID, s.Reason))
		case s.Verdict == report.Unknown || s.Verdict == report.SetupError:
			m.Problems = append(m.Problems, fmt.Sprintf("%s is %s on the sound gateway: %s", s.ID, s.Verdict, s.Reason))
		case s.Verdict == report.Pass && !mustDie:
			m.Problems = append(m.Problems, fmt.Sprintf("%s passes, and no defect is listed that turns it red", s.ID))
		}
	}
}

// judge finds the defects that survive, and those that one of gateway and file does not know.
func (m *Matrix) judge(o ProveOptions) {
	listed := map[string]bool{}
	for _, row := range m.Rows {
		listed[row.Defect] = true
		m.Proof.Defects++
		if len(row.Scenarios) == 0 {
			m.Problems = append(m.Problems, fmt.Sprintf("defect %s: no scenario is listed for it", row.Defect))
			continue
		}
		survived := false
		for _, c := range row.Scenarios {
			if !c.Killed() {
				survived = true
				m.Problems = append(m.Problems, c.problem(row.Defect))
			}
		}
		if !survived {
			m.Proof.Killed++
		}
		if len(o.Known) > 0 && !slices.Contains(o.Known, row.Defect) {
			m.Problems = append(m.Problems, fmt.Sprintf("defect %s: the gateway does not know it%s", row.Defect, target.Near(row.Defect, o.Known)))
		}
	}
	for _, name := range o.Known {
		if !listed[name] && len(o.Only) == 0 {
			m.Problems = append(m.Problems, fmt.Sprintf("defect %s: the target's file does not list it, so nothing must notice it", name))
		}
	}
}

// problem says why a cell is no kill.
func (c MatrixCell) problem(defect string) string {
	if c.Early {
		return fmt.Sprintf("defect %s is noticed by %s before its guarantee, at %q", defect, c.ID, c.Step)
	}
	return fmt.Sprintf("defect %s survives %s: %s %s", defect, c.ID, c.Verdict, c.Reason)
}

func (m *Matrix) exit(harness bool) int {
	switch {
	case harness:
		return ExitHarness
	case m.Stopped:
		return ExitStopped
	case len(m.Problems) > 0:
		return ExitBroken
	}
	return ExitGood
}
