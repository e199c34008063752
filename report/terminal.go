package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Terminal tells a person how a run goes: a line for each scenario as it ends and, on a terminal,
// one line below that says what runs. It is not safe for concurrent use.
type Terminal struct {
	W       io.Writer
	Live    bool // W is a terminal: show progress
	Color   bool
	Quiet   bool // only what is not good, and the last sentence
	Verbose bool // faults and propagation of each scenario

	texts   map[string]string // of statements
	total   int
	done    int
	running []string
	setup   map[string]int // reasons of setup-errors, and how many scenarios had each
}

// IsTerminal says whether the file is one that a person looks at.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// Begin is told of the run before the first scenario starts.
func (t *Terminal) Begin(r *Results, total int) {
	t.total, t.texts = total, texts(r)
	if t.Quiet {
		return
	}
	fmt.Fprintln(t.W, heading(r))
	if wide := wideSlack(r); wide != "" {
		fmt.Fprintln(t.W, t.paint(Fail, wide))
	}
}

// Expect adds to the number of scenarios that are to come.
func (t *Terminal) Expect(more int) { t.total += more }

// Start is told when a scenario begins.
func (t *Terminal) Start(id string) {
	if !slices.Contains(t.running, id) {
		t.running = append(t.running, id)
	}
	t.progress()
}

// Finish is told what became of a scenario.
func (t *Terminal) Finish(s Scenario) {
	t.running = slices.DeleteFunc(t.running, func(id string) bool { return id == s.ID })
	if s.Verdict != Unsupported {
		t.done += len(s.Runs)
	}
	again := t.again(s)
	if again && !t.Verbose {
		t.progress()
		return
	}
	if !t.Quiet || red(s.Verdict) {
		t.clear()
		fmt.Fprintln(t.W, t.paint(s.Verdict, fmt.Sprintf("%-15s", s.Verdict))+" "+line(s))
		if !again && (red(s.Verdict) || t.Verbose) {
			for _, l := range explain(s, t.texts) {
				fmt.Fprintln(t.W, "    "+l)
			}
		}
		if t.Verbose {
			for _, l := range details(s) {
				fmt.Fprintln(t.W, "    "+l)
			}
		}
	}
	t.progress()
}

// again counts a setup-error, and says whether another scenario has told its reason.
func (t *Terminal) again(s Scenario) bool {
	if s.Verdict != SetupError {
		return false
	}
	if t.setup == nil {
		t.setup = map[string]int{}
	}
	t.setup[s.Reason]++
	return t.setup[s.Reason] > 1
}

// End writes what stands below the scenarios: the slowest five, the figures, the red ones once more and
// the last sentence.
func (t *Terminal) End(r *Results, folder string) {
	t.clear()
	if !t.Quiet {
		for _, l := range figures(r) {
			fmt.Fprintln(t.W, l)
		}
		t.reds(r)
	}
	if r.Busy != nil {
		fmt.Fprintln(t.W, tooBusy(r))
	}
	fmt.Fprintln(t.W, t.paint(r.Verdict, Closing(r, folder)))
}

// reds names the red ones again, where many lines have gone by; those of one setup-error are counted.
func (t *Terminal) reds(r *Results) {
	setup := map[string]int{}
	for _, s := range r.Scenarios {
		if s.Verdict == SetupError {
			setup[s.Reason]++
		}
	}
	for _, s := range r.Scenarios {
		more := ""
		switch n := setup[s.Reason]; {
		case !red(s.Verdict), s.Verdict == SetupError && n == 0: // counted with the first
			continue
		case s.Verdict == SetupError && n > 1:
			more = fmt.Sprintf(" and %d more, for the same reason", n-1)
			setup[s.Reason] = 0
		}
		fmt.Fprintln(t.W, t.paint(s.Verdict, fmt.Sprintf("%-12s", s.Verdict))+" "+s.ID+more)
	}
}

// tooBusy says that what could not be judged may be this machine's doing, and what to try.
func tooBusy(r *Results) string {
	b := r.Busy
	load := ""
	if b.Load > 0 {
		load = fmt.Sprintf("load %.1f on ", b.Load)
	}
	advice := fmt.Sprintf("try --cells %d", b.TryCells)
	if b.TryCells >= r.Cells {
		advice = "try again when it is idle"
	}
	return fmt.Sprintf("this machine was too busy for %d of those that are unknown (%s%d cores): %s", b.Scenarios, load, b.Cores, advice)
}

func (t *Terminal) progress() {
	if !t.Live || t.Quiet {
		return
	}
	what := ""
	if len(t.running) > 0 {
		what = " · " + t.running[0]
	}
	text := fmt.Sprintf("%d/%d · %d running%s", t.done, t.total, len(t.running), what)
	if len([]rune(text)) > 78 {
		text = string([]rune(text)[:77]) + "…"
	}
	fmt.Fprint(t.W, "\r\x1b[K"+text)
}

func (t *Terminal) clear() {
	if t.Live && !t.Quiet {
		fmt.Fprint(t.W, "\r\x1b[K")
	}
}

func (t *Terminal) paint(v Verdict, text string) string {
	if !t.Color {
		return text
	}
	color := "33" // yellow: cannot say
	switch v {
	case Pass:
		color = "32"
	case Fail, UnexpectedPass:
		color = "31"
	case Unsupported, NotRun, ExpectedFail:
		color = "36"
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// Text is report.txt: what the terminal shows with everything, in the order of the features.
func Text(r *Results, folder string) string {
	var b strings.Builder
	t := Terminal{W: &b, Verbose: true}
	t.Begin(r, len(r.Scenarios))
	for _, s := range r.Scenarios {
		t.Finish(s)
	}
	t.End(r, folder)
	return b.String()
}

func red(v Verdict) bool {
	return v == Fail || v == UnexpectedPass || v == Unknown || v == SetupError
}

func texts(r *Results) map[string]string {
	all := map[string]string{}
	for _, s := range r.Statements {
		all[s.ID] = s.Text
	}
	return all
}

func heading(r *Results) string {
	text := fmt.Sprintf("target %s %s · driver %s · %d cells · seed %d", r.Target.Name, r.Target.Version, r.Target.Driver, r.Cells, r.Seed)
	if len(r.Target.Defects) > 0 {
		text += " · BROKEN ON PURPOSE: " + strings.Join(r.Target.Defects, ", ")
	}
	return text
}

// wideSlack warns where the target's file widened what the bounds allow for.
func wideSlack(r *Results) string {
	if l := r.Limits["slack"]; l.MS > l.Default {
		return fmt.Sprintf("slack is %s instead of %s: %s", short(l.MS), short(l.Default), l.Why)
	}
	return ""
}

// line is a scenario in one line, with a column for each node that showed a change.
func line(s Scenario) string {
	text := fmt.Sprintf("%7s  %s", short(s.Duration), s.ID)
	if n := len(s.Runs); n > 1 {
		text += fmt.Sprintf("  %d of %d passed", int(s.PassRate*float64(n)+0.5), n)
	}
	if columns := nodeColumns(s); columns != "" {
		text += "  " + columns
	}
	if s.Reason != "" && !red(s.Verdict) && s.Verdict != NotRun {
		text += "  (" + firstLine(s.Reason) + ")"
	}
	return text
}

// nodeColumns gives, for each node, the longest that a change took there.
func nodeColumns(s Scenario) string {
	longest := map[int]Propagation{}
	for _, p := range s.Propagation {
		if p.MS >= longest[p.Node].MS {
			longest[p.Node] = p
		}
	}
	var columns []string
	for node := 1; node <= 9; node++ {
		if p, found := longest[node]; found {
			columns = append(columns, fmt.Sprintf("node %d %s", node, short(p.MS)))
		}
	}
	return strings.Join(columns, " · ")
}

// explain says what is wrong with a scenario: the sentence that it judges, what was expected and seen,
// where, when, and how to see it again. Of a good one it says nothing.
func explain(s Scenario, texts map[string]string) []string {
	var lines []string
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, fmt.Sprintf("%-10s%s", name, strings.ReplaceAll(value, "\n", "\n              ")))
		}
	}
	if f := s.Failure; f != nil {
		add("statement", strings.TrimSpace(f.Statement+"  "+texts[f.Statement]))
		add("step", f.Step)
		add("Expected", f.Expected)
		add("Actual", f.Actual)
		if f.Node > 0 {
			add("where", strings.TrimSpace(fmt.Sprintf("node %d  %s", f.Node, f.Request)))
		}
		if f.MSSinceChange != 0 {
			add("when", fmt.Sprintf("%s after the change, %.1f polls", short(f.MSSinceChange), f.Polls))
		}
	}
	if red(s.Verdict) && (s.Failure == nil || s.Verdict != Fail) {
		add("why", s.Reason)
	}
	if red(s.Verdict) {
		add("feature", fmt.Sprintf("%s:%d", s.URI, s.Line))
		if len(s.Logs) > 0 {
			add("logs", filepath.Dir(s.Logs[0]))
		}
		add("history", s.History)
		add("again", s.Replay)
	}
	return lines
}

// details lists a scenario's faults and propagations.
func details(s Scenario) []string {
	var lines []string
	for _, f := range s.Faults {
		witness := "witnessed: "
		if !f.Witnessed {
			witness = "NOT witnessed: "
		}
		where := ""
		if f.Node > 0 {
			where = fmt.Sprintf(" (node %d)", f.Node)
		}
		lines = append(lines, fmt.Sprintf("fault     %s%s, %s to %s, %s%s", f.Name, where, short(f.From), short(f.To), witness, f.Evidence))
	}
	for _, p := range s.Propagation {
		lines = append(lines, fmt.Sprintf("seen      %s on node %d after %s (%.1f polls; bound %s)", p.Change, p.Node, short(p.MS), p.Polls, short(p.Bound)))
	}
	return lines
}

// figures are the slowest five and what the run measured.
func figures(r *Results) []string {
	ran := slices.DeleteFunc(slices.Clone(r.Scenarios), func(s Scenario) bool { return s.Duration == 0 })
	slices.SortStableFunc(ran, func(a, b Scenario) int { return int(b.Duration - a.Duration) })
	lines := []string{""}
	for i, s := range ran[:min(5, len(ran))] {
		name := "       "
		if i == 0 {
			name = "slowest"
		}
		lines = append(lines, fmt.Sprintf("%s  %7s  %s", name, short(s.Duration), s.ID))
	}
	if d := r.Propagation; d != nil {
		lines = append(lines, fmt.Sprintf("propagation  %d measured: p50 %s, p95 %s, p99 %s, max %s (%.1f polls)", d.Count, short(d.P50), short(d.P95), short(d.P99), short(d.Max), d.MaxPolls))
	}
	if r.Duration > 0 && r.LowerBound > 0 {
		lines = append(lines, fmt.Sprintf("time         %s, %.1f × the lower bound of %s", short(r.Duration), float64(r.Duration)/float64(r.LowerBound), short(r.LowerBound)))
	}
	if h := r.HeldBack; h != nil {
		lines = append(lines, fmt.Sprintf("held back    %d of the starts waited for this machine; %d ran at once at the least, of %d cells", h.Starts, h.AtOnce, r.Cells))
	}
	return lines
}

// Closing is the last sentence: whether it is good, in one word, then the counts and the exit code.
func Closing(r *Results, folder string) string {
	words := map[int]string{
		0: "PASS: every scenario that ran held",
		1: "FAIL: a guarantee is broken",
		2: "UNSURE: no guarantee is broken, but not all could be judged",
		// 64 never comes here: nothing ran
		70:  "BROKEN HARNESS: the suite itself failed, its verdicts do not count",
		130: "STOPPED before the end",
	}
	if r.Exit == 1 && r.Summary.Fail == 0 {
		words[1] = "FAIL: a scenario that is listed as failing passed"
	}
	text := fmt.Sprintf("tidemark: %s (%s%s) on %s; exit %d", words[r.Exit], counts(r.Summary), repeated(r), r.Target.Name, r.Exit)
	if r.Reason != "" {
		text += "; " + firstLine(r.Reason)
	}
	if folder != "" {
		text += "; report in " + folder
	}
	return text
}

// repeated says how often scenarios were played, where more than once.
func repeated(r *Results) string {
	times := 1
	for _, s := range r.Scenarios {
		times = max(times, len(s.Runs))
	}
	if times == 1 {
		return ""
	}
	return fmt.Sprintf("; each played %d times", times)
}

// counts names only what there is.
func counts(s Summary) string {
	var parts []string
	for _, c := range []struct {
		n    int
		name Verdict
	}{
		{s.Pass, Pass},
		{s.Fail, Fail},
		{s.Unknown, Unknown},
		{s.UnexpectedPass, UnexpectedPass},
		{s.SetupError, SetupError},
		{s.ExpectedFail, ExpectedFail},
		{s.Unsupported, Unsupported},
		{s.NotRun, NotRun},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.name))
		}
	}
	return strings.Join(parts, ", ")
}

// short writes a duration as a person reads it: 412 ms, 1.53 s.
func short(m Millis) string {
	d := m.Duration()
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

var fine = regexp.MustCompile(`\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d{4,}s|\.\d+ms|(?:\.\d+)?µs)`)

// Rounded rounds the durations within a text to milliseconds: nobody reads nanoseconds.
func Rounded(text string) string {
	return fine.ReplaceAllStringFunc(text, func(match string) string {
		d, err := time.ParseDuration(match)
		if err != nil {
			return match
		}
		return d.Round(time.Millisecond).String()
	})
}
