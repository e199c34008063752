package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/suite"
)

// typed runs one command line on this repository's features and returns what it printed.
func typed(t *testing.T, line ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	code = Run(t.Context(), line, os.DirFS(".."), &out, &err)
	return code, out.String(), err.String()
}

// gateway writes a program that stands for a gateway: it says which defects it has, and nothing else.
func gateway(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway")
	script := "#!/bin/sh\n[ \"$1\" = defects ] || exit 70\necho '[{\"name\": \"skip-event\", \"breaks\": \"it skips\"}]'\n"
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMistakesEndWith64AndTheNearestName(t *testing.T) {
	fake := gateway(t)
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("name: x\nclaim: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rules := map[string]struct {
		line []string
		want string
	}{
		"command":        {[]string{"rum"}, `unknown command "rum"; nearest is "run"`},
		"flag":           {[]string{"run", "--tag", "@must"}, "unknown flag --tag; nearest is --tags"},
		"value":          {[]string{"run", "--cells", "many"}, "cells"},
		"no cells":       {[]string{"run", "--cells", "0"}, "want at least 1"},
		"many cells":     {[]string{"run", "--cells", "100000"}, "at most 128"},
		"no repeat":      {[]string{"run", "--repeat", "0"}, "want at least 1"},
		"past timeout":   {[]string{"run", "--timeout", "-5s"}, "--timeout -5s"},
		"both":           {[]string{"run", "--quiet", "--verbose"}, "contradict"},
		"out":            {[]string{"run", "--gateway", fake, "--out", fake + "/runs"}, "--out"},
		"name":           {[]string{"run", "--gateway", fake, "--name", "zzzz"}, `no scenario's name matches "zzzz"`},
		"argument":       {[]string{"run", "all"}, "takes no argument"},
		"target":         {[]string{"run", "--target", "referense"}, `nearest is "reference"`},
		"target's file":  {[]string{"run", "--target", wrong}, `wrong.yaml:2: unknown key "claim"; nearest is "claims"`},
		"missing file":   {[]string{"run", "--target", "./none.yaml"}, "none.yaml"},
		"driver":         {[]string{"run", "--driver", "compose"}, `unknown driver "compose"`},
		"program":        {[]string{"run", "--gateway", "./none"}, "make build"},
		"tag":            {[]string{"run", "--gateway", fake, "--tags", "@multinode"}, `nearest is "@multi-node"`},
		"nothing":        {[]string{"run", "--gateway", fake, "--tags", "@must and not @must"}, "nothing is selected"},
		"scenario":       {[]string{"run", "--gateway", fake, "--scenario", "walkthrough/the-seven-comands-word-for-word"}, `nearest is "walkthrough/the-seven-commands-word-for-word"`},
		"set":            {[]string{"run", "--gateway", fake, "--set", "db_cache_ttll=1"}, `nearest is "db_cache_ttl"`},
		"set nothing":    {[]string{"run", "--gateway", fake, "--set", "db_cache_ttl"}, "want KEY=VALUE"},
		"set and stated": {[]string{"run", "--gateway", fake, "--set", "db_cache_ttl=1"}, "states it itself"},
		"defect":         {[]string{"run", "--gateway", fake, "--defect", "nonsense-defect"}, `unknown defect "nonsense-defect"`},
		"list":           {[]string{"list", "fault"}, `nearest is "faults"`},
		"list nothing":   {[]string{"list"}, "takes one kind"},
		"explain":        {[]string{"explain", "CLU-133", "--gateway", fake}, `nothing is called "CLU-133"; nearest is "CLU-13"`},
		"output":         {[]string{"list", "faults", "-o", "yaml"}, `unknown output "yaml"`},
		"proof":          {[]string{"prove", "--gateway", fake, "--defect", "nonsense-defect"}, "nonsense-defect"},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := typed(t, rule.line...)
			if code != suite.ExitUsage || !strings.Contains(stderr, rule.want) {
				t.Errorf("exit %d, %q; want 64, %q", code, stderr, rule.want)
			}
		})
	}
}

func TestListsAreForMachinesToo(t *testing.T) {
	fake := gateway(t)
	for _, kind := range []string{"scenarios", "statements", "capabilities", "faults", "phrases", "defects", "targets", "profiles"} {
		t.Run(kind, func(t *testing.T) {
			code, text, stderr := typed(t, "list", kind, "--gateway", fake)
			if code != 0 || text == "" {
				t.Fatalf("exit %d, %q", code, stderr)
			}
			_, stdout, _ := typed(t, "list", kind, "--gateway", fake, "-o", "json")
			var objects []map[string]any
			if err := json.Unmarshal([]byte(stdout), &objects); err != nil || len(objects) != strings.Count(text, "\n") {
				t.Errorf("%d objects for %d lines (%v)", len(objects), strings.Count(text, "\n"), err)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	fake := gateway(t)
	rules := map[string]string{
		"CLU-13":                "single_node/the-very-next-request-sees-change",
		"unknown":               "the harness ran late",
		"cut from the database": "witness",
		"skip-event":            "it skips",
		"core":                  "@must",
		"cache-admin":           "claimed    by reference",
		"replica":               "(capability)",
		"propagation":           "F + P + W + R + slack",
		"walkthrough/the-seven-commands-word-for-word":              "When the walk-through is typed",
		"single_node/the-very-next-request-sees-change#a-new-route": "a new route is made through node 1",
		"single_node/the-very-next-request-sees-change":             "a new route is made through node 1",
	}
	for name, want := range rules {
		code, stdout, stderr := typed(t, "explain", name, "--gateway", fake)
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("explain %s: exit %d, %q %q; want %q", name, code, stdout, stderr, want)
		}
	}
}

func TestMachinesAreToldInFields(t *testing.T) {
	fake := gateway(t)
	rules := map[string]struct {
		line []string
		want []string
	}{
		"statements":   {[]string{"list", "statements"}, []string{`"scenarios": [`, `"level": "must"`, `"source": "S0 L434"`}},
		"scenarios":    {[]string{"list", "scenarios"}, []string{`"statements": [`, `"tags": [`, `"level": "must"`, `"line": `}},
		"capabilities": {[]string{"list", "capabilities"}, []string{`"claimed": true`, `"scenarios": [`}},
		"defects":      {[]string{"list", "defects", "--gateway", fake}, []string{`"scenarios": [`, `"breaks": "it skips"`}},
		"targets":      {[]string{"list", "targets"}, []string{`"claims": [`}},
		"statement":    {[]string{"explain", "CLU-13"}, []string{`"kind": "statement"`, `"scenarios": [`, `"level": "must"`, `"source": "S0 L434"`}},
		"scenario":     {[]string{"explain", "walkthrough/the-seven-commands-word-for-word"}, []string{`"steps": [`, `"statements": [`, `"tags": [`}},
		"bound":        {[]string{"explain", "heal"}, []string{`"kind": "bound"`, `"ms": 2000`}},
		"two":          {[]string{"explain", "replica"}, []string{`"kind": "profile"`, `"also": [`, `"kind": "capability"`}},
		"defect":       {[]string{"explain", "skip-event", "--gateway", fake}, []string{`"kind": "defect"`, `"breaks": "it skips"`}},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := typed(t, append(rule.line, "-o", "json")...)
			if code != 0 || !json.Valid([]byte(stdout)) {
				t.Fatalf("exit %d, %q %q", code, stdout, stderr)
			}
			for _, want := range rule.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("%s is missing in:\n%s", want, stdout)
				}
			}
		})
	}
}

func TestColumnsAreCut(t *testing.T) {
	long := strings.Repeat("x", 200)
	lines := table([][]string{{"a", long, "b"}, {long, "c", "d"}})
	if want := "a" + strings.Repeat(" ", widestName+1) + strings.Repeat("x", widestCell-1) + "…  b"; lines[0] != want {
		t.Errorf("got  %q\nwant %q", lines[0], want)
	}
	if !strings.HasPrefix(lines[1], long+"  c ") {
		t.Errorf("a name was cut: %q", lines[1])
	}
	if got := plural(1, "scenario") + ", " + plural(0, "scenario"); got != "1 scenario, 0 scenarios" {
		t.Errorf("got %q", got)
	}
}

func TestFlagsOverEnvironment(t *testing.T) {
	t.Setenv("TIDEMARK_TARGET", "nonsense")
	if code, _, stderr := typed(t, "list", "capabilities"); code != suite.ExitUsage || !strings.Contains(stderr, "nonsense") {
		t.Errorf("the environment was not heard: exit %d, %q", code, stderr)
	}
	if code, _, stderr := typed(t, "list", "capabilities", "--target", "reference"); code != 0 {
		t.Errorf("the flag did not win: exit %d, %q", code, stderr)
	}
	t.Setenv("TIDEMARK_CELLS", "many")
	if code, _, stderr := typed(t, "run", "--target", "reference"); code != suite.ExitUsage || !strings.Contains(stderr, "TIDEMARK_CELLS=many") {
		t.Errorf("a wrong value in the environment: exit %d, %q", code, stderr)
	}
}

func TestVariablesThatNobodyHears(t *testing.T) {
	t.Setenv("TIDEMARK_CELS", "8")
	t.Setenv("TIDEMARK_PG_BIN", "")
	code, _, stderr := typed(t, "list", "profiles")
	if want := `unknown variable TIDEMARK_CELS is ignored; nearest is "TIDEMARK_CELLS"`; code != 0 || strings.Count(stderr, "unknown variable") != 1 || !strings.Contains(stderr, want) {
		t.Errorf("exit %d, %q; want 0, %q", code, stderr, want)
	}
	if _, stdout, _ := typed(t, "--help"); !strings.Contains(stdout, "TIDEMARK_<FLAG>") {
		t.Errorf("the help does not tell of variables: %q", stdout)
	}
}

func TestHelpStatesTheExitCodes(t *testing.T) {
	code, stdout, _ := typed(t, "run", "--help")
	if code != 0 || !strings.Contains(stdout, "130  stopped before the end") {
		t.Errorf("exit %d, %q", code, stdout)
	}
}

func TestVersion(t *testing.T) {
	_, stdout, _ := typed(t, "version", "-o", "json")
	var v map[string]string
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || !strings.HasPrefix(v["features_digest"], "sha256:") || v["go"] == "" || v["suite"] == "" {
		t.Errorf("got %q (%v)", stdout, err)
	}
}

func TestVersionIsAFlagToo(t *testing.T) {
	_, want, _ := typed(t, "version")
	if code, got, _ := typed(t, "--version"); code != 0 || got != want {
		t.Errorf("exit %d, %q; want %q", code, got, want)
	}
}

func TestDoctorNamesACommandForAllThatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("TIDEMARK_PG_BIN", t.TempDir())
	t.Setenv("DOCKER_HOST", "unix:///nonsense/docker.sock")
	code, stdout, _ := typed(t, "doctor", "-o", "json")
	var findings []finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil || code != suite.ExitUnsure {
		t.Fatalf("exit %d, %q (%v); want 2", code, stdout, err)
	}
	for _, f := range findings {
		if f.Found == "" || (!f.Good && f.Mend == "") {
			t.Errorf("%s: found %q, mended by %q", f.What, f.Found, f.Mend)
		}
		if f.Good && slices.Contains([]string{"PostgreSQL", "Docker", "curl", "sh"}, f.What) {
			t.Errorf("%s is said to be there", f.What)
		}
	}
	if code, _, _ := typed(t, "doctor"); code != suite.ExitUnsure {
		t.Errorf("as text: exit %d, want 2", code)
	}
}

func TestAStoppedCommandEndsWith130(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, err strings.Builder
	line := []string{"run", "--gateway", gateway(t), "--out", t.TempDir()}
	if code := Run(ctx, line, os.DirFS(".."), &out, &err); code != suite.ExitStopped {
		t.Errorf("exit %d, want 130: %s%s", code, out.String(), err.String())
	}
	if !strings.Contains(out.String(), "tidemark: STOPPED before the end") {
		t.Errorf("the last sentence is missing: %q", out.String())
	}
}
