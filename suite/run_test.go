package suite

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tidemark/cluster"
	"tidemark/history"
	"tidemark/report"
	"tidemark/steps"
	"tidemark/target"
)

// A fakeLab plays scenarios as their names say: how they end lies in the lab, not in a cluster.
type fakeLab struct {
	play func(ctx context.Context, s Scenario, p Play) Played

	mu     sync.Mutex
	played []string
	atOnce int
	most   int
	closed bool
}

func (l *fakeLab) Play(ctx context.Context, s Scenario, p Play) Played {
	l.mu.Lock()
	l.played = append(l.played, s.Name)
	l.atOnce++
	l.most = max(l.most, l.atOnce)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.atOnce--
		l.mu.Unlock()
	}()
	return l.play(ctx, s, p)
}

func (l *fakeLab) Close() error { l.closed = true; return nil }

// quiet is an observer for tests that do not look.
type quiet struct{}

func (quiet) Begin(*report.Results, int) {}
func (quiet) Start(string)               {}
func (quiet) Finish(report.Scenario)     {}

const fakeFeature = `@must
Feature: Fake
  @CLU-01
  Scenario: passes
    When nothing
  @CLU-01
  Scenario: fails
    When nothing
  @CLU-01 @multi-node
  Scenario: doubts
    When nothing
  @CLU-01 @replica
  Scenario: lacks
    When nothing
  @CLU-01
  Scenario: listed
    When nothing
  @CLU-01
  Scenario: stale
    When nothing
  @CLU-01
  Scenario: unready
    When nothing
  @CLU-01 @long
  Scenario: unselected
    When nothing
  @CLU-01 @alone
  Scenario: solitary
    When nothing
`

// fake is a run of the fake feature; its sentence is one that steps knows.
func fake(t *testing.T) (Options, *fakeLab) {
	t.Helper()
	if len(steps.Phrases()) == 0 {
		t.Skip("steps has no phrases")
	}
	text := strings.ReplaceAll(fakeFeature, "When nothing", "When "+steps.Phrases()[0].Example)
	lab := &fakeLab{play: playByName}
	return Options{
		Content: fstest.MapFS{
			"features/fake.feature":      {Data: []byte(text)},
			"features/requirements.yaml": {Data: []byte("CLU-01: {text: It holds, level: must, source: S0 L1}\nCLU-02: {text: Later, level: must, source: S0 L2, not_tested_because: later}\n")},
		},
		Version: "test", Out: t.TempDir(), Seed: 7, Observer: quiet{}, Log: slog.New(slog.DiscardHandler),
		Open: func(context.Context, LabOptions) (Lab, error) { return lab, nil },
		Target: &target.Target{
			Name: "fake", Claims: []string{"multi-node"}, Limits: target.Limits{Slack: 500},
			Settings: map[string]target.Setting{"db_update_frequency": {Unit: "s", Default: "5"}},
			Expectations: []target.Expectation{
				{Scenario: "fake/listed", Verdict: "fail", Reason: "known", Link: "http://x"},
				{Scenario: "fake/stale", Verdict: "fail", Reason: "known", Link: "http://x"},
			},
		},
	}, lab
}

func playByName(ctx context.Context, s Scenario, p Play) Played {
	h := history.New(time.Now)
	h.Record(history.Entry{Kind: history.KindRequest, Request: "GET /?password=hidden"})
	played := Played{Began: time.Now(), Duration: 20 * time.Millisecond, Cell: 1, Outcome: steps.Outcome{
		Checks: 1, History: h, Waiting: 5 * time.Millisecond, Bounds: map[string]time.Duration{"propagation": time.Second},
		Propagation: []history.Propagation{{Change: "a new route", Node: 2, After: 12 * time.Millisecond, Polls: 0.1, Bound: time.Second}},
		Faults:      []history.Fault{{Name: "cut", Wire: "database", Node: 2, From: time.Now(), To: time.Now(), Witnessed: true, Evidence: "canary broke"}},
	}}
	switch s.Name {
	case "fails", "listed":
		played.Err = &history.Violation{Expected: "new", Actual: "old", Node: 2, Request: "GET /x", SinceChange: time.Second, Polls: 2}
		played.Step = "Then it holds"
		if err := os.WriteFile(filepath.Join(p.Dir, "node1.log"), []byte("pg_password=hunter2 ok"), 0o600); err != nil {
			played.Err = err
		}
	case "doubts":
		played.Err = history.Doubtf("the harness ran late")
	case "unready":
		played.Err = &cluster.SetupError{Err: errors.New("no port")}
	}
	return played
}

func TestResultsFilesTerminalAndExitAgree(t *testing.T) {
	o, lab := fake(t)
	var screen strings.Builder
	terminal := &report.Terminal{W: &screen}
	o.Observer = terminal
	results, folder, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	terminal.End(results, folder)

	want := map[string]report.Verdict{
		"passes": report.Pass, "fails": report.Fail, "doubts": report.Unknown, "lacks": report.Unsupported, "listed": report.ExpectedFail,
		"stale": report.UnexpectedPass, "unready": report.SetupError, "unselected": report.NotRun, "solitary": report.Pass,
	}
	for _, s := range results.Scenarios {
		if s.Verdict != want[s.Name] {
			t.Errorf("%s: %s, want %s", s.Name, s.Verdict, want[s.Name])
		}
		onScreen := strings.Contains(screen.String(), string(s.Verdict)) && strings.Contains(screen.String(), s.ID)
		if s.Verdict != report.NotRun && !onScreen {
			t.Errorf("the terminal does not show %s as %s", s.ID, s.Verdict)
		}
	}
	if results.Exit != ExitBroken || results.Verdict != report.Fail {
		t.Errorf("exit %d, verdict %s; want 1 and fail", results.Exit, results.Verdict)
	}
	wantSummary := report.Summary{Pass: 2, Fail: 1, Unknown: 1, Unsupported: 1, ExpectedFail: 1, UnexpectedPass: 1, SetupError: 1, NotRun: 1}
	if results.Summary != wantSummary {
		t.Errorf("summary %+v, want %+v", results.Summary, wantSummary)
	}
	if results.Statements[0].Verdict != report.Fail || results.Statements[1].Verdict != report.NotRun {
		t.Errorf("statements %+v", results.Statements)
	}
	lines := strings.Split(strings.TrimSpace(screen.String()), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "tidemark: FAIL") || !strings.Contains(last, "2 pass, 1 fail, 1 unknown") || !strings.Contains(last, "exit 1") {
		t.Errorf("the last sentence says %q", last)
	}
	if !lab.closed {
		t.Error("the lab is still open")
	}
	if lab.played[len(lab.played)-1] != "solitary" {
		t.Errorf("what runs alone was not last: %v", lab.played)
	}
	checkFolder(t, folder, results)
}

// checkFolder compares the files of a run with its results.
func checkFolder(t *testing.T, folder string, results *report.Results) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	validate(t, data)
	var stored report.Results
	if err := json.Unmarshal(data, &stored); err != nil || stored.Summary != results.Summary || stored.Exit != results.Exit {
		t.Errorf("results.json says %+v, exit %d (%v)", stored.Summary, stored.Exit, err)
	}
	var junit struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
	}
	data, err = os.ReadFile(filepath.Join(folder, "junit.xml"))
	if err != nil || xml.Unmarshal(data, &junit) != nil {
		t.Fatalf("read junit.xml: %v", err)
	}
	s := results.Summary
	if junit.Tests != len(results.Scenarios) || junit.Failures != s.Fail+s.UnexpectedPass || junit.Errors != s.Unknown+s.SetupError ||
		junit.Skipped != s.Unsupported+s.ExpectedFail+s.NotRun {
		t.Errorf("junit.xml counts %+v, results %+v", junit, s)
	}
	text, err := os.ReadFile(filepath.Join(folder, "report.txt"))
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(text)), report.Closing(results, folder)) {
		t.Errorf("report.txt does not end with the last sentence (%v)", err)
	}
	log, err := os.ReadFile(filepath.Join(folder, "logs", "fake.fails.1", "node1.log"))
	if err != nil || string(log) != "pg_password=****** ok" {
		t.Errorf("the log of a failure is %q (%v)", log, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "logs", "fake.passes.1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the logs of a pass are kept: %v", err)
	}
	trace, err := os.ReadFile(filepath.Join(folder, "history", "fake.passes.1.ndjson"))
	if err != nil || !strings.Contains(string(trace), "password=******") {
		t.Errorf("the history is %q (%v)", trace, err)
	}
}

func validate(t *testing.T, data []byte) {
	t.Helper()
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(string(report.Schema)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("results.schema.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("results.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("results.json is not valid against its schema: %v", err)
	}
}

func TestAStoppedRunReportsWhatRan(t *testing.T) {
	o, lab := fake(t)
	o.Cells = 1
	ctx, stop := context.WithCancel(t.Context())
	lab.play = func(ctx context.Context, s Scenario, p Play) Played {
		if len(lab.played) == 2 {
			stop()
			<-ctx.Done()
			return Played{Outcome: steps.Outcome{Err: ctx.Err()}}
		}
		return playByName(ctx, s, p)
	}
	results, folder, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if results.Exit != ExitStopped || len(lab.played) != 2 || !lab.closed {
		t.Errorf("exit %d after %d scenarios, closed %v; want 130, 2, true", results.Exit, len(lab.played), lab.closed)
	}
	data, err := os.ReadFile(filepath.Join(folder, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	validate(t, data)
}

func TestTheTimeLimitStopsARun(t *testing.T) {
	o, lab := fake(t)
	o.Timeout = 20 * time.Millisecond
	lab.play = func(ctx context.Context, _ Scenario, _ Play) Played {
		<-ctx.Done()
		return Played{Outcome: steps.Outcome{Err: ctx.Err()}}
	}
	results, _, err := Run(t.Context(), o)
	if err != nil || results.Exit != ExitStopped || !strings.Contains(results.Reason, "longer than 20ms") {
		t.Errorf("exit %d, reason %q, %v", results.Exit, results.Reason, err)
	}
}

// Ctrl-C then only ends the wait: the run had come to its end, and has its own exit code.
func TestTheFirstFailureIsKeptUp(t *testing.T) {
	o, lab := fake(t)
	ctx, stop := context.WithCancel(t.Context())
	var kept []Kept
	var screen, before strings.Builder
	o.Observer = &report.Terminal{W: &screen}
	o.Keep = func(_ context.Context, k Kept) {
		kept = append(kept, k)
		before.WriteString(screen.String())
		stop()
	}
	lab.play = func(ctx context.Context, s Scenario, p Play) Played {
		played := playByName(ctx, s, p)
		if played.Err != nil {
			p.Keep(played, []string{"node 1"})
		}
		return played
	}
	o.Selection.Name = "fails|stale|lacks"
	results, _, err := Run(ctx, o)
	if err != nil || len(kept) != 1 || kept[0].Scenario != "fake/fails" || results.Summary.Fail != 1 || results.Exit != ExitBroken {
		t.Errorf("kept %+v, summary %+v, exit %d, %v", kept, results.Summary, results.Exit, err)
	}
	if !strings.Contains(before.String(), "Expected  new") || strings.Count(screen.String(), "Expected  new") != 1 {
		t.Errorf("the failure was not told once, before its cluster was kept: %q", screen.String())
	}
}

func TestTheDatabaseOfANode(t *testing.T) {
	env := []string{"PATH=/bin", "PG_H=127.0.0.1", "PG_P=5433", "PG_U=kong", "PG_D=kong1"}
	on := &target.Target{Start: target.Start{Env: map[string]string{"pg_host": "PG_H", "pg_port": "PG_P", "pg_user": "PG_U", "pg_database": "PG_D"}}}
	if got, want := psql(env, on), "psql -h 127.0.0.1 -p 5433 -U kong -d kong1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFailFastStartsNothingMore(t *testing.T) {
	o, lab := fake(t)
	o.FailFast, o.Cells = true, 1
	results, _, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.Index(lab.played, "fails"); i != len(lab.played)-1 || results.Exit != ExitBroken {
		t.Errorf("played %v, exit %d; want nothing after the failure, and 1", lab.played, results.Exit)
	}
}

func TestRepeatGivesAPassRate(t *testing.T) {
	o, lab := fake(t)
	o.Repeat, o.Selection = 4, Selection{Name: "passes"}
	seeds := map[uint64]bool{}
	lab.play = func(ctx context.Context, s Scenario, p Play) Played {
		played := playByName(ctx, s, p)
		lab.mu.Lock()
		defer lab.mu.Unlock()
		if seeds[p.Seed] = true; len(seeds) == 2 {
			played.Err = &history.Violation{}
		}
		return played
	}
	o.Cells = 1
	results, _, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := results.Scenarios[0]
	if s.Verdict != report.Fail || s.PassRate != 0.75 || len(s.Runs) != 4 || len(seeds) != 4 {
		t.Errorf("%s, pass rate %v, %d runs, %d seeds; want fail, 0.75, 4, 4", s.Verdict, s.PassRate, len(s.Runs), len(seeds))
	}
}

func TestNoMoreAtOnceThanCells(t *testing.T) {
	o, lab := fake(t)
	o.Cells = 2
	lab.play = func(ctx context.Context, s Scenario, p Play) Played {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
		return playByName(ctx, s, p)
	}
	if _, _, err := Run(t.Context(), o); err != nil || lab.most != 2 {
		t.Errorf("%d at once (%v), want 2", lab.most, err)
	}
}

func TestATargetThatDoesNotComeUp(t *testing.T) {
	rules := map[string]struct {
		err  error
		want int
	}{
		"setup-error": {&cluster.SetupError{Err: errors.New("no PostgreSQL")}, ExitUnsure},
		"harness":     {errors.New("no idea"), ExitHarness},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			o, _ := fake(t)
			o.Open = func(context.Context, LabOptions) (Lab, error) { return nil, rule.err }
			results, _, err := Run(t.Context(), o)
			if results == nil || results.Exit != rule.want {
				t.Fatalf("got %+v (%v), want exit %d", results, err, rule.want)
			}
		})
	}
}

func TestTheLongestGoFirst(t *testing.T) {
	o, lab := fake(t)
	o.Selection, o.Cells = Selection{IDs: []string{"fake/passes", "fake/doubts", "fake/listed"}}, 1
	if _, _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	latest := filepath.Join(o.Out, "latest", "results.json")
	data, err := os.ReadFile(latest)
	if err != nil {
		t.Fatal(err)
	}
	var last report.Results
	if err := json.Unmarshal(data, &last); err != nil {
		t.Fatal(err)
	}
	for i := range last.Scenarios { // doubts is said to have passed, and to take a minute
		if last.Scenarios[i].Name == "doubts" {
			last.Scenarios[i].Verdict, last.Scenarios[i].Duration = report.Pass, report.Millis(time.Minute)
		}
	}
	if data, err = json.Marshal(last); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(latest, data, 0o600); err != nil {
		t.Fatal(err)
	}
	lab.played = nil
	if _, _, err := Run(t.Context(), o); err != nil || lab.played[0] != "doubts" {
		t.Errorf("played %v (%v), want doubts first", lab.played, err)
	}
}

func TestProve(t *testing.T) {
	o, lab := fake(t)
	o.Selection, o.Target.Expectations = Selection{}, nil
	o.Target.Claims = append(o.Target.Claims, "replica")
	o.Target.Defects = []target.Defect{{Name: "noticed", Scenarios: []string{"fake/passes", "fake/stale"}}, {Name: "survivor", Scenarios: []string{"fake/lacks", "fake/listed"}}}
	o.Open = func(_ context.Context, l LabOptions) (Lab, error) {
		broken := slices.Clone(l.Defects)
		return &fakeLab{play: func(ctx context.Context, s Scenario, p Play) Played {
			played := playByName(ctx, s, p)
			played.Err = nil
			if slices.Contains(broken, "noticed") {
				played.Err, played.Step = &history.Violation{Expected: "x", Actual: "y"}, "Then it holds"
			}
			if slices.Contains(broken, "survivor") && s.Name == "lacks" {
				played.Err = history.Doubtf("late")
			}
			if len(broken) == 0 && s.Name == "fails" {
				played.Err = &history.Violation{Expected: "x", Actual: "y"}
			}
			return played
		}}, nil
	}
	_ = lab
	matrix, folder, err := Prove(t.Context(), ProveOptions{Options: o, Known: []string{"noticed", "survivor", "unlisted"}})
	if err != nil {
		t.Fatal(err)
	}
	problems := strings.Join(matrix.Problems, "\n")
	for _, want := range []string{
		"fake/fails is red on the sound gateway", "fake/doubts passes, and no defect is listed", "fake/solitary passes, and no defect",
		"survivor survives fake/lacks: unknown", "survivor survives fake/listed: pass", "unlisted: the target's file does not list it",
	} {
		if !strings.Contains(problems, want) {
			t.Errorf("%q is missing in:\n%s", want, problems)
		}
	}
	if cell := matrix.Rows[0].Scenarios[0]; cell.Step != "Then it holds" || !cell.Killed() {
		t.Errorf("the kill %+v does not tell its step", cell)
	}
	if matrix.Exit != ExitBroken || matrix.Proof != (report.Proof{Defects: 2, Killed: 1}) {
		t.Errorf("exit %d, proof %+v; want 1 and 1 of 2", matrix.Exit, matrix.Proof)
	}
	data, err := os.ReadFile(filepath.Join(folder, "results.json"))
	if err != nil || !strings.Contains(string(data), `"killed": 1`) {
		t.Errorf("the proof is not in results.json (%v)", err)
	}
	validate(t, data)
	matrix, _, err = Prove(t.Context(), ProveOptions{Options: o, Only: []string{"noticed"}, OnePerDefect: true})
	if err != nil || matrix.Exit != ExitGood || len(matrix.Rows) != 1 || len(matrix.Rows[0].Scenarios) != 1 {
		t.Errorf("one per defect: %+v, %v", matrix, err)
	}
	if _, _, err := Prove(t.Context(), ProveOptions{Options: o, Only: []string{"notised"}}); err == nil || !strings.Contains(err.Error(), `"noticed"`) {
		t.Errorf("an unknown defect gave %v", err)
	}
}
