package suite

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tidemark/cluster"
	"tidemark/history"
	"tidemark/report"
	"tidemark/steps"
	"tidemark/target"
)

func TestJudge(t *testing.T) {
	var (
		now       = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		broke     = &history.Violation{Expected: "new", Actual: "old"}
		doubt     = &history.Doubt{Why: "late"}
		seen      = []history.Fault{{Name: "cut", Witnessed: true}}
		unseen    = []history.Fault{{Name: "cut", Witnessed: true}, {Name: "lag"}}
		listed    = &target.Expectation{Verdict: "fail", Reason: "known", Link: "http://x"}
		stale     = &target.Expectation{Verdict: "fail", Reason: "known", Link: "http://x", Expires: "2026-04-30"}
		listedFor = func(v string) *target.Expectation { return &target.Expectation{Verdict: v, Reason: "known", Link: "x"} }
	)
	rules := map[string]struct {
		outcome  steps.Outcome
		expected *target.Expectation
		want     report.Verdict
		harness  bool
	}{
		"held":                            {steps.Outcome{Checks: 2, Faults: seen}, nil, report.Pass, false},
		"held, but a fault had no effect": {steps.Outcome{Checks: 2, Faults: unseen}, nil, report.Unknown, false},
		"broke":                           {steps.Outcome{Checks: 1, Err: broke}, nil, report.Fail, false},
		"broke in the very first check":   {steps.Outcome{Err: fmt.Errorf("step: %w", broke)}, nil, report.Fail, false},
		"broke without a witness":         {steps.Outcome{Checks: 1, Err: broke, Faults: unseen}, nil, report.Unknown, false},
		"doubt":                           {steps.Outcome{Checks: 1, Err: doubt}, nil, report.Unknown, false},
		"doubt beside a violation":        {steps.Outcome{Checks: 1, Err: errors.Join(broke, doubt)}, nil, report.Unknown, false},
		"capability":                      {steps.Outcome{Err: &cluster.UnsupportedError{Why: "x"}}, nil, report.Unsupported, false},
		"fixed setting":                   {steps.Outcome{Err: fmt.Errorf("x: %w", &target.FixedError{Name: "f"})}, nil, report.Unsupported, false},
		"did not start":                   {steps.Outcome{Err: &cluster.SetupError{Err: errors.New("x")}}, nil, report.SetupError, false},
		"fixed setting at start":          {steps.Outcome{Err: &cluster.SetupError{Err: &target.FixedError{}}}, nil, report.Unsupported, false},
		"other error":                     {steps.Outcome{Checks: 1, Err: errors.New("x")}, nil, report.Unknown, true},
		"checked nothing":                 {steps.Outcome{}, nil, report.Unknown, true},
		"expected to fail":                {steps.Outcome{Checks: 1, Err: broke}, listed, report.ExpectedFail, false},
		"expected to fail, held":          {steps.Outcome{Checks: 1}, listed, report.UnexpectedPass, false},
		"expected to fail, unknown":       {steps.Outcome{Checks: 1, Err: doubt}, listed, report.Unknown, false},
		"expected unknown":                {steps.Outcome{Checks: 1, Err: doubt}, listedFor("unknown"), report.ExpectedFail, false},
		"expected unknown, broke":         {steps.Outcome{Checks: 1, Err: broke}, listedFor("unknown"), report.Fail, false},
		"expired, broke":                  {steps.Outcome{Checks: 1, Err: broke}, stale, report.Fail, false},
		"expired, held":                   {steps.Outcome{Checks: 1}, stale, report.Pass, false},
		"harness, though expected":        {steps.Outcome{}, listedFor("unknown"), report.Unknown, true},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			got := Judge(rule.outcome, rule.expected, now)
			if got.Verdict != rule.want || got.Harness != rule.harness {
				t.Errorf("got %+v, want %s (harness %v)", got, rule.want, rule.harness)
			}
			if (got.Verdict == report.Pass) != (got.Reason == "") {
				t.Errorf("%s with the reason %q", got.Verdict, got.Reason)
			}
		})
	}
}

func TestTheWorstVerdictCounts(t *testing.T) {
	order := severity()
	for i, worse := range order {
		for _, milder := range order[i:] {
			if got := Worst(milder, worse, milder); got != worse {
				t.Errorf("the worst of %s and %s is %s", worse, milder, got)
			}
		}
	}
	if got := Worst(); got != report.NotRun {
		t.Errorf("the worst of none is %s", got)
	}
}

func TestExit(t *testing.T) {
	rules := map[string]struct {
		verdicts         []report.Verdict
		harness, stopped bool
		want             int
	}{
		"all held":            {[]report.Verdict{report.Pass, report.Pass}, false, false, 0},
		"expected":            {[]report.Verdict{report.Pass, report.ExpectedFail, report.Unsupported}, false, false, 0},
		"broke":               {[]report.Verdict{report.Pass, report.Unknown, report.Fail}, false, false, 1},
		"stale list":          {[]report.Verdict{report.Pass, report.UnexpectedPass}, false, false, 1},
		"unknown":             {[]report.Verdict{report.Pass, report.Unknown}, false, false, 2},
		"setup":               {[]report.Verdict{report.Pass, report.SetupError}, false, false, 2},
		"nothing passed":      {[]report.Verdict{report.Unsupported, report.ExpectedFail}, false, false, 2},
		"stopped":             {[]report.Verdict{report.Pass, report.Fail, report.NotRun}, false, true, 130},
		"harness":             {[]report.Verdict{report.Fail}, true, false, 70},
		"harness and stopped": {[]report.Verdict{report.Pass}, true, true, 70},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			if got := Exit(rule.verdicts, rule.harness, rule.stopped); got != rule.want {
				t.Errorf("got %d, want %d", got, rule.want)
			}
		})
	}
}
