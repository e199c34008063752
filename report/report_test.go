package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const ms = Millis(time.Millisecond)

func TestMillis(t *testing.T) {
	rules := map[string]Millis{"0": 0, "1.5": Millis(1500 * time.Microsecond), "12000": Millis(12 * time.Second)}
	for want, m := range rules {
		text, err := json.Marshal(m)
		if err != nil || string(text) != want {
			t.Errorf("%v is written %s (%v), want %s", time.Duration(m), text, err, want)
		}
		var back Millis
		if err := json.Unmarshal(text, &back); err != nil || back != m {
			t.Errorf("%s is read as %v (%v)", text, time.Duration(back), err)
		}
	}
}

func TestRedact(t *testing.T) {
	rules := map[string]string{
		"KONG_PG_PASSWORD=hunter2 next":        "KONG_PG_PASSWORD=****** next",
		`{"password": "hunter2", "user": "x"}`: `{"password": "******", "user": "x"}`,
		"postgres://kong:hunter2@127.0.0.1/k":  "postgres://kong:******@127.0.0.1/k",
		"Authorization: Basic abc":             "Authorization: ******",
		"GET /?apikey=bone&x=1":                "GET /?apikey=******&x=1",
		"nothing secret: 12":                   "nothing secret: ******",
		"a path /dogs":                         "a path /dogs",
	}
	for text, want := range rules {
		if got := string(Redact([]byte(text))); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestDistribute(t *testing.T) {
	if Distribute(nil) != nil {
		t.Error("of nothing there is no distribution")
	}
	var all []Scenario
	for i := 1; i <= 100; i++ {
		all = append(all, Scenario{Propagation: []Propagation{{MS: Millis(i) * ms, Polls: float64(i) / 100}}})
	}
	got := *Distribute(all)
	want := Distribution{Count: 100, P50: 50 * ms, P95: 95 * ms, P99: 99 * ms, Max: 100 * ms, P50Polls: 0.5, MaxPolls: 1}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	one := *Distribute(all[6:7])
	if one.P50 != 7*ms || one.P99 != 7*ms {
		t.Errorf("of one value: %+v", one)
	}
}

func TestFoldersAreRotatedAndNeverReused(t *testing.T) {
	out := t.TempDir()
	other := filepath.Join(out, "mine")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	made := map[string]bool{}
	var last string
	for i := range 25 {
		folder, err := NewFolder(out, start.Add(time.Duration(i/2)*time.Second))
		if err != nil || made[folder] {
			t.Fatalf("folder %q, made before: %v, %v", folder, made[folder], err)
		}
		made[folder], last = true, folder
	}
	left, err := filepath.Glob(filepath.Join(out, "2026*"))
	if err != nil || len(left) != kept {
		t.Errorf("%d folders are left (%v), want %d", len(left), err, kept)
	}
	if latest, err := os.Readlink(filepath.Join(out, "latest")); err != nil || latest != filepath.Base(last) {
		t.Errorf("latest leads to %q (%v), want %q", latest, err, filepath.Base(last))
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("what is no run was removed: %v", err)
	}
}

func TestAFailureSaysAllThatAReaderNeeds(t *testing.T) {
	var screen strings.Builder
	terminal := Terminal{W: &screen}
	terminal.Begin(&Results{Statements: []Statement{{ID: "CLU-22", Text: "It is seen in time"}}}, 1)
	terminal.Finish(Scenario{
		ID: "a/b", URI: "features/a.feature", Line: 7, Verdict: Fail, Reason: "x", Duration: 1200 * ms, Replay: "tidemark run --scenario 'a/b'",
		Logs: []string{"logs/a.b.1/node1.log"}, History: "history/a.b.1.ndjson", Propagation: []Propagation{{Node: 1, MS: 3 * ms}, {Node: 2, MS: 412 * ms}},
		Failure: &Failure{Step: "Then it is seen", Statement: "CLU-22", Expected: "the new state", Actual: "the old one", Node: 2, Request: "GET /dogs", MSSinceChange: 1100 * ms, Polls: 2.2},
	})
	for _, want := range []string{
		"fail", "1.20 s  a/b  node 1 3 ms · node 2 412 ms", "CLU-22  It is seen in time", "Expected  the new state", "Actual    the old one",
		"node 2  GET /dogs", "1.10 s after the change, 2.2 polls", "features/a.feature:7", "logs/a.b.1", "history/a.b.1.ndjson", "tidemark run --scenario 'a/b'",
	} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, screen.String())
		}
	}
}

func TestTheRedOnesStandAtTheEndAgain(t *testing.T) {
	var screen strings.Builder
	terminal := Terminal{W: &screen}
	terminal.End(&Results{Exit: 1, Scenarios: []Scenario{{ID: "a/good", Verdict: Pass}, {ID: "a/bad", Verdict: Fail}, {ID: "a/dim", Verdict: Unknown}}}, "")
	lines := strings.Split(strings.TrimSpace(screen.String()), "\n")
	if len(lines) != 3 || lines[0] != "fail         a/bad" || lines[1] != "unknown      a/dim" {
		t.Errorf("got %q", lines)
	}
}

func TestProgressIsForTerminalsOnly(t *testing.T) {
	rules := map[string]struct {
		terminal Terminal
		live     bool
		line     bool
	}{
		"file":           {Terminal{}, false, true},
		"terminal":       {Terminal{Live: true}, true, true},
		"quiet":          {Terminal{Live: true, Quiet: true}, false, false},
		"verbose, plain": {Terminal{Verbose: true}, false, true},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			var screen strings.Builder
			rule.terminal.W = &screen
			rule.terminal.Begin(&Results{}, 2)
			rule.terminal.Start("a/b")
			rule.terminal.Finish(Scenario{ID: "a/b", Verdict: Pass, Runs: []Run{{N: 1}}})
			rule.terminal.End(&Results{}, "")
			if live := strings.Contains(screen.String(), "\r"); live != rule.live {
				t.Errorf("progress is %v, want %v: %q", live, rule.live, screen.String())
			}
			if line := strings.Contains(screen.String(), "pass               0 ms  a/b"); line != rule.line {
				t.Errorf("a line for the pass is %v, want %v: %q", line, rule.line, screen.String())
			}
			if strings.Contains(screen.String(), "\x1b[3") {
				t.Errorf("colors where none were asked for: %q", screen.String())
			}
		})
	}
}

func TestAWideSlackIsShown(t *testing.T) {
	var screen strings.Builder
	terminal := Terminal{W: &screen, Color: true}
	terminal.Begin(&Results{Limits: map[string]Limit{"slack": {MS: 900 * ms, Default: 500 * ms, Why: "slow disks"}}}, 1)
	if !strings.Contains(screen.String(), "\x1b[31mslack is 900 ms instead of 500 ms: slow disks") {
		t.Errorf("not in red: %q", screen.String())
	}
}

func TestTheLastSentenceSaysWhichKindOfEnd(t *testing.T) {
	rules := map[int]string{
		0: "tidemark: PASS: every", 1: "tidemark: FAIL: a guarantee", 2: "tidemark: UNSURE: no guarantee is broken",
		70: "tidemark: BROKEN HARNESS", 130: "tidemark: STOPPED",
	}
	for exit, want := range rules {
		r := &Results{Exit: exit, Summary: Summary{Pass: 3, Fail: exit % 2, NotRun: 1}, Target: Target{Name: "x"}}
		got := Closing(r, "runs/1")
		if !strings.HasPrefix(got, want) || !strings.Contains(got, "3 pass") || !strings.HasSuffix(got, fmt.Sprintf("exit %d; report in runs/1", exit)) {
			t.Errorf("exit %d: %q", exit, got)
		}
	}
}

func TestAReasonIsToldOnce(t *testing.T) {
	rules := map[string]struct {
		scenario Scenario
		want     int
	}{
		"unknown":              {Scenario{Verdict: Unknown, Reason: "it ran late"}, 1},
		"unknown, with a find": {Scenario{Verdict: Unknown, Reason: "it ran late", Failure: &Failure{Expected: "x"}}, 1},
		"unsupported":          {Scenario{Verdict: Unsupported, Reason: "it ran late"}, 1},
		"expected":             {Scenario{Verdict: ExpectedFail, Reason: "it ran late"}, 1},
		"pass":                 {Scenario{Verdict: Pass}, 0},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			var screen strings.Builder
			terminal := Terminal{W: &screen}
			terminal.Finish(rule.scenario)
			if n := strings.Count(screen.String(), "it ran late"); n != rule.want {
				t.Errorf("told %d times, want %d: %q", n, rule.want, screen.String())
			}
		})
	}
}

func TestOneSetupErrorOfAllIsToldOnce(t *testing.T) {
	r := &Results{Exit: 2}
	for i := range 9 {
		r.Scenarios = append(r.Scenarios, Scenario{ID: fmt.Sprintf("a/%d", i), Verdict: SetupError, Reason: "no PostgreSQL"})
	}
	for name, terminal := range map[string]Terminal{"terminal": {}, "quiet": {Quiet: true}, "verbose": {Verbose: true}} {
		t.Run(name, func(t *testing.T) {
			var screen strings.Builder
			terminal.W = &screen
			for _, s := range r.Scenarios {
				terminal.Finish(s)
			}
			if n := strings.Count(screen.String(), "no PostgreSQL"); n != 1 {
				t.Errorf("told %d times: %q", n, screen.String())
			}
			terminal.End(r, "")
			if lines := strings.Count(screen.String(), "a/3"); lines > 1 || !terminal.Quiet && !strings.Contains(screen.String(), "and 8 more, for the same reason") {
				t.Errorf("got %q", screen.String())
			}
		})
	}
}

func TestRounded(t *testing.T) {
	rules := map[string]string{
		"still for 1.234567891s inside": "still for 1.235s inside",
		"took 412.345678ms, not 98.7µs": "took 412ms, not 0s",
		"after 2m3.000400005s":          "after 2m3s",
		"within 0.5s, or 5s, or 1.25s":  "within 0.5s, or 5s, or 1.25s",
		"node 127.0.0.1:8000 PG13.2":    "node 127.0.0.1:8000 PG13.2",
	}
	for text, want := range rules {
		if got := Rounded(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestWhatWasHeldBackIsShown(t *testing.T) {
	got := strings.Join(figures(&Results{Cells: 16, HeldBack: &HeldBack{Starts: 12, AtOnce: 5}}), "\n")
	if want := "held back    12 of the starts waited for this machine; 5 ran at once at the least, of 16 cells"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	idle := tooBusy(&Results{Cells: 1, Busy: &Busy{Scenarios: 1, Cores: 2, TryCells: 1}})
	if want := "(2 cores): try again when it is idle"; !strings.Contains(idle, want) {
		t.Errorf("got %q, want %q", idle, want)
	}
}
