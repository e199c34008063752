package suite

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tidemark/cluster"
	"tidemark/history"
	"tidemark/report"
	"tidemark/steps"
	"tidemark/target"
)

// A Judgment is what one play of a scenario came to.
type Judgment struct {
	Verdict report.Verdict
	Reason  string // empty for a pass
	Harness bool   // the harness itself broke: the run ends with 70
}

// Judge decides the verdict of one play. A doubt weighs more than a violation, since what cannot be
// said cannot be held against the target; a pass counts only where something was checked and every
// fault had its witness. The expectation (nil: none) is applied last, unless it has expired.
func Judge(o steps.Outcome, expected *target.Expectation, now time.Time) Judgment {
	j := judge(o)
	if expected == nil || expected.Expired(now) || j.Harness {
		return j
	}
	switch {
	case j.Verdict == report.Pass:
		return Judgment{Verdict: report.UnexpectedPass, Reason: "listed as " + expected.Verdict + " (" + expected.Reason + "), but passed: the list is stale"}
	case string(j.Verdict) == expected.Verdict:
		return Judgment{Verdict: report.ExpectedFail, Reason: expected.Reason + " (" + expected.Link + ")"}
	}
	return j
}

func judge(o steps.Outcome) Judgment {
	var (
		violation   *history.Violation
		doubt       *history.Doubt
		unsupported *cluster.UnsupportedError
		fixed       *target.FixedError
		setup       *cluster.SetupError
	)
	switch err := o.Err; {
	case errors.As(err, &unsupported), errors.As(err, &fixed):
		return Judgment{Verdict: report.Unsupported, Reason: err.Error()}
	case errors.As(err, &setup):
		return Judgment{Verdict: report.SetupError, Reason: err.Error()}
	case errors.As(err, &doubt):
		return Judgment{Verdict: report.Unknown, Reason: err.Error()}
	case errors.As(err, &violation):
		if unwitnessed := history.Witnessed(o.Faults); unwitnessed != nil {
			return Judgment{Verdict: report.Unknown, Reason: unwitnessed.Error()}
		}
		return Judgment{Verdict: report.Fail, Reason: violation.Error()}
	case err != nil:
		return Judgment{Verdict: report.Unknown, Reason: "the harness broke: " + err.Error(), Harness: true}
	case o.Checks == 0:
		return Judgment{Verdict: report.Unknown, Reason: "the harness broke: the scenario checked nothing", Harness: true}
	}
	if unwitnessed := history.Witnessed(o.Faults); unwitnessed != nil {
		return Judgment{Verdict: report.Unknown, Reason: unwitnessed.Error()}
	}
	return Judgment{Verdict: report.Pass}
}

// severity lists the verdicts from the worst to the mildest.
func severity() []report.Verdict {
	return []report.Verdict{
		report.Fail, report.Unknown, report.UnexpectedPass, report.SetupError,
		report.ExpectedFail, report.Pass, report.Unsupported, report.NotRun,
	}
}

// Worst is the verdict of a statement, from those of its scenarios, and of a scenario, from those of
// its repetitions. Of none it is not-run.
func Worst(verdicts ...report.Verdict) report.Verdict {
	for _, v := range severity() {
		if slices.Contains(verdicts, v) {
			return v
		}
	}
	return report.NotRun
}

// The exit codes, as --help prints them.
const (
	ExitGood    = 0
	ExitBroken  = 1   // a guarantee broke, or an expectation is stale
	ExitUnsure  = 2   // unknown, setup-error, or nothing passed
	ExitUsage   = 64  // wrong flags, names or files; nothing selected
	ExitHarness = 70  // the harness itself broke
	ExitStopped = 130 // stopped before the end
)

// Exit is the run's exit code: 70 before 130 before 1 before 2 before 0.
func Exit(verdicts []report.Verdict, harness, stopped bool) int {
	has := func(wanted ...report.Verdict) bool {
		return slices.ContainsFunc(wanted, func(v report.Verdict) bool { return slices.Contains(verdicts, v) })
	}
	switch {
	case harness:
		return ExitHarness
	case stopped:
		return ExitStopped
	case has(report.Fail, report.UnexpectedPass):
		return ExitBroken
	case has(report.Unknown, report.SetupError), !has(report.Pass):
		return ExitUnsure
	}
	return ExitGood
}

// runVerdict says in the scenarios' words what an exit code means for the whole run.
func runVerdict(exit int) report.Verdict {
	switch exit {
	case ExitGood:
		return report.Pass
	case ExitBroken:
		return report.Fail
	case ExitStopped:
		return report.NotRun
	}
	return report.Unknown
}

// failure tells a violation as the report does. A doubt or another error has none.
func failure(o steps.Outcome, s Scenario) *report.Failure {
	var v *history.Violation
	if !errors.As(o.Err, &v) {
		return nil
	}
	f := &report.Failure{
		Step: o.Step, Statement: v.Statement, Expected: v.Expected, Actual: v.Actual,
		Node: v.Node, Request: v.Request, MSSinceChange: report.Millis(v.SinceChange), Polls: v.Polls,
	}
	if f.Statement == "" && len(s.Statements) > 0 {
		f.Statement = s.Statements[0]
	}
	return f
}

// lacking says which capability or setting of the scenario the target does not have, or nothing.
func lacking(s Scenario, t *target.Target) string {
	var needs []string
	for _, c := range s.Capabilities {
		if !slices.Contains(scheduling(), c) {
			needs = append(needs, c)
		}
	}
	if capability := t.Supports(needs); capability != "" {
		return fmt.Sprintf("%s does not claim %s", t.Name, capability)
	}
	return ""
}

// scheduling lists the tags that say how a scenario runs, not what it needs.
func scheduling() []string { return []string{"alone", "long"} }
