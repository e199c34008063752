package suite

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"tidemark/report"
	"tidemark/target"
)

// results puts together what the run came to so far.
func (r *run) results() *report.Results {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &report.Results{
		Schema: report.SchemaName,
		Suite:  report.Suite{Version: r.o.Version, FeaturesDigest: r.digest},
		Target: report.Target{
			Name: r.o.Target.Name, Version: r.o.Target.Version, Driver: "local", Nodes: r.nodes,
			Settings: r.settings.Map(), Defects: r.o.Defects,
		},
		Limits: limits(r.o.Target, r.settings), Seed: r.o.Seed, Started: r.started, Cells: r.o.Cells,
		Duration: report.Millis(r.duration), Scenarios: []report.Scenario{}, Statements: []report.Statement{},
	}
	var selected []report.Verdict
	verdicts := map[string]report.Verdict{}
	harness, late := r.broken != nil, 0
	for _, s := range r.all {
		scenario := r.scenario(s)
		out.Scenarios = append(out.Scenarios, scenario)
		out.Summary.Count(scenario.Verdict)
		out.Waiting += scenario.Waiting
		verdicts[s.ID] = scenario.Verdict
		if records, chosen := r.records[s.ID]; chosen {
			selected = append(selected, scenario.Verdict)
			if slices.ContainsFunc(records, func(rec record) bool { return rec.late }) {
				late++
			}
			harness = harness || slices.ContainsFunc(records, func(rec record) bool { return rec.Harness })
		}
	}
	out.Exit = Exit(selected, harness, r.stopped != nil)
	out.Verdict = runVerdict(out.Exit)
	if err := errors.Join(r.broken, r.stopped); err != nil {
		out.Reason = err.Error()
	}
	out.Busy, out.HeldBack = busy(late, r.o.Cells), r.pressure.heldBack()
	out.Statements = statements(r.statements, r.all, verdicts)
	out.Propagation = report.Distribute(out.Scenarios)
	out.LowerBound = r.lowerBound(out.Waiting)
	return out
}

// lowerBound is below what no order of the scenarios could bring this run on this machine.
func (r *run) lowerBound(waiting report.Millis) report.Millis {
	longest := time.Duration(0)
	for _, records := range r.records {
		for _, rec := range records {
			longest = max(longest, rec.played.Duration)
		}
	}
	return report.Millis(max(longest, waiting.Duration()/time.Duration(r.o.Cells), spentCPU()/time.Duration(runtime.NumCPU())))
}

// spentCPU is what this process and all that it started and waited for have used.
func spentCPU() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var use syscall.Rusage
		if err := syscall.Getrusage(who, &use); err == nil {
			total += time.Duration(use.Utime.Nano() + use.Stime.Nano())
		}
	}
	return total
}

// limits are the bounds with the settings of the run; scenarios that set something have their own.
func limits(t *target.Target, s target.Settings) map[string]report.Limit {
	standard := *t
	standard.Limits = target.Limits{Slack: 500}
	defaults := map[string]time.Duration{}
	for _, b := range standard.Bounds(s, 0).Named() {
		defaults[b.Name] = b.Duration
	}
	all := map[string]report.Limit{}
	for _, b := range t.Bounds(s, 0).Named() {
		l := report.Limit{MS: report.Millis(b.Duration), Formula: b.Formula, Default: report.Millis(defaults[b.Name])}
		if b.Duration != defaults[b.Name] {
			l.Why = t.Limits.Why
		}
		all[b.Name] = l
	}
	return all
}

// statements gives each statement the worst verdict of its scenarios.
func statements(known []Statement, scenarios []Scenario, verdicts map[string]report.Verdict) []report.Statement {
	all := []report.Statement{}
	for _, k := range known {
		s := report.Statement{
			ID: k.ID, Text: k.Text, Level: k.Level, Source: k.Source,
			Scenarios: []string{}, NotTestedBecause: k.NotTestedBecause,
		}
		var of []report.Verdict
		for _, scenario := range scenarios {
			if slices.Contains(scenario.Statements, k.ID) {
				s.Scenarios = append(s.Scenarios, scenario.ID)
				of = append(of, verdicts[scenario.ID])
			}
		}
		s.Verdict = Worst(of...)
		all = append(all, s)
	}
	return all
}

// scenario tells what became of a scenario; the caller holds the lock. Where it was repeated, the
// details are those of its worst play, and propagation is that of all.
func (r *run) scenario(s Scenario) report.Scenario {
	out := report.Scenario{
		ID: s.ID, Feature: s.Feature, Name: s.Name, URI: s.URI, Line: s.Line, Level: s.Level,
		Statements: orEmpty(s.Statements), Capabilities: orEmpty(s.Capabilities),
		Verdict: report.NotRun, Bounds: map[string]report.Millis{}, Runs: []report.Run{},
		Faults: []report.Fault{}, Propagation: []report.Propagation{}, Logs: []string{}, Replay: r.replay(s),
	}
	records, selected := r.records[s.ID]
	if len(records) == 0 {
		out.Reason = "not selected"
		if selected {
			out.Reason = "the run ended before its turn"
		}
		return out
	}
	worst, passed := records[0], 0
	for _, rec := range slices.SortedFunc(slices.Values(records), func(a, b record) int { return a.n - b.n }) {
		out.Runs = append(out.Runs, report.Run{N: rec.n, Verdict: rec.Verdict, Duration: report.Millis(rec.played.Duration)})
		out.Waiting += report.Millis(rec.played.Waiting)
		out.Propagation = append(out.Propagation, rec.propagation()...)
		if rec.Verdict == report.Pass {
			passed++
		}
		if Worst(worst.Verdict, rec.Verdict) != worst.Verdict {
			worst = rec
		}
	}
	out.PassRate = float64(passed) / float64(len(records))
	out.Duration = report.Millis(worst.played.Duration)
	worst.describe(&out, s)
	return out
}

// describe fills in the details of one play.
func (rec record) describe(out *report.Scenario, s Scenario) {
	out.Verdict, out.Reason, out.Cell = rec.Verdict, rec.Reason, rec.played.Cell
	out.History, out.Logs = rec.trace, orEmpty(rec.files)
	for name, d := range rec.played.Bounds {
		out.Bounds[name] = report.Millis(d)
	}
	for _, f := range rec.played.Faults {
		out.Faults = append(out.Faults, report.Fault{
			Name: f.Name, Wire: f.Wire, Node: f.Node, Witnessed: f.Witnessed, Evidence: f.Evidence,
			From: since(rec.played.Began, f.From), To: since(rec.played.Began, f.To),
		})
	}
	if rec.Verdict != report.Pass {
		out.Failure = failure(rec.played.Outcome, s)
	}
}

func (rec record) propagation() (all []report.Propagation) {
	for _, p := range rec.played.Propagation {
		all = append(all, report.Propagation{
			Change: p.Change, Node: p.Node, MS: report.Millis(p.After), Polls: p.Polls, Bound: report.Millis(p.Bound),
		})
	}
	return all
}

func since(began, at time.Time) report.Millis {
	if at.IsZero() {
		return 0
	}
	return report.Millis(at.Sub(began))
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// replay is the command that plays the scenario again as it was played.
func (r *run) replay(s Scenario) string {
	line := fmt.Sprintf("tidemark run --target %s --scenario '%s' --seed %d", r.o.Target.Name, s.ID, r.o.Seed)
	for _, name := range slices.Sorted(maps.Keys(r.o.Set)) {
		line += fmt.Sprintf(" --set %s=%s", name, r.o.Set[name])
	}
	for _, d := range r.o.Defects {
		line += " --defect " + d
	}
	return strings.TrimSpace(line)
}
