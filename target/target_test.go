package target

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func reference(t *testing.T) *Target {
	t.Helper()
	data, err := os.ReadFile("../fixtures/targets/reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	target, err := Load("reference.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestTheReferenceLoads(t *testing.T) {
	ref := reference(t)
	if ref.Settings["db_update_frequency"].Suite != "0.5" || ref.Limits.Slack != 500 {
		t.Errorf("settings read wrongly: %+v, %+v", ref.Settings["db_update_frequency"], ref.Limits)
	}
	for name := range ref.Start.Env {
		if _, setting := ref.Settings[name]; !setting && !strings.HasPrefix(name, "pg_") && !strings.HasSuffix(name, "_listen") {
			t.Errorf("env maps %q, which is neither a setting nor a fact of the driver", name)
		}
	}
	for name := range ref.Settings {
		if ref.Start.Env[name] == "" {
			t.Errorf("setting %q has no environment variable", name)
		}
	}
}

func TestAMistakeNamesItsPlace(t *testing.T) {
	rules := map[string]struct{ yaml, want string }{
		"unknown key":      {"name: x\nclaim: [a]\n", `x.yaml:2: unknown key "claim"; nearest is "claims"`},
		"unknown deep key": {"name: x\nstart:\n  progam: y\n", `x.yaml:3: unknown key "progam"; nearest is "program"`},
		"wrong type":       {"name: x\nclaims: 3\n", "x.yaml:2: "},
		"repeated key":     {"name: x\nname: y\n", "x.yaml:2: "},
		"no YAML":          {"name: [\n", "x.yaml:"},
		"no name":          {"version: '1'\n", "name is missing"},
		"wrong unit":       {"name: x\nsettings:\n  f: {unit: sec}\n", `x.yaml:3: setting f: unknown unit "sec"`},
		"wrong default":    {"name: x\nsettings:\n  f: {unit: s, default: soon}\n", `x.yaml:3: set f to "soon"`},
		"wide slack":       {"name: x\nlimits: {slack_ms: 900}\n", "x.yaml:2: a slack above 500 ms owes a why"},
		"no reason":        {"name: x\nexpectations:\n- {scenario: a/b, verdict: fail}\n", "a reason and a link are owed"},
		"wrong verdict":    {"name: x\nexpectations:\n- {scenario: a/b, verdict: fial, reason: r, link: l}\n", `nearest is "fail"`},
		"unknown claim":    {"name: x\nclaims:\n- sql\n- multinode\n", `x.yaml:4: unknown claim "multinode"; nearest is "multi-node"`},
		"negative slack":   {"name: x\nlimits:\n  slack_ms: -1\n", "x.yaml:3: want a number of ms of at least 0, not -1"},
		"negative wait":    {"name: x\nstart:\n  stop: {timeout_ms: -5}\n", "x.yaml:3: want a number of ms"},
		"no number of ms":  {"name: x\nstart:\n  ready: {timeout_ms: 10s}\n", `x.yaml:3: want a number of ms, not "10s"`},
		"unknown signal":   {"name: x\nstart:\n  stop: {signal: SIGTREM}\n", `x.yaml:3: unknown signal "SIGTREM"; nearest is "SIGTERM"`},
		"wrong day":        {"name: x\nexpectations:\n- {scenario: a/b, verdict: fail, reason: r, link: l, expires: soon}\n", "is no day"},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			_, err := Load("x.yaml", []byte(rule.yaml))
			var mistake *Error
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), rule.want) {
				t.Errorf("got %v, want %q", err, rule.want)
			}
		})
	}
}

func TestTheFirstLayerWins(t *testing.T) {
	ref := reference(t)
	rules := map[string]struct {
		layers []map[string]string
		name   string
		want   string
	}{
		"product":  {nil, "db_resurrect_ttl", "30"},
		"suite":    {nil, "db_update_frequency", "0.5"},
		"set":      {[]map[string]string{nil, {"db_update_frequency": "2"}}, "db_update_frequency", "2"},
		"scenario": {[]map[string]string{{"db_update_frequency": "1"}, {"db_update_frequency": "2"}}, "db_update_frequency", "1"},
		"unset":    {nil, "db_cache_neg_ttl", ""},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			s, err := ref.Resolve(rule.layers...)
			if err != nil || s.Get(rule.name) != rule.want {
				t.Errorf("%s = %q (%v), want %q", rule.name, s.Get(rule.name), err, rule.want)
			}
		})
	}
}

func TestNothingLeavesAllToTheProduct(t *testing.T) {
	ref := reference(t)
	s, err := ref.Resolve(ref.Nothing(), map[string]string{"db_cache_ttl": "3"})
	if err != nil || s.Get("db_update_frequency") != "5" || s.Get("db_cache_ttl") != "0" {
		t.Errorf("F = %q, T = %q (%v), want 5 and 0", s.Get("db_update_frequency"), s.Get("db_cache_ttl"), err)
	}
	if env := ref.Environment(s, nil); len(env) > 0 {
		t.Errorf("the environment states %v", env)
	}
}

func TestAValueIsRefused(t *testing.T) {
	ref := reference(t)
	ref.Settings["fixed"] = Setting{Unit: "s", Fixed: "5"}
	rules := map[string]struct{ name, value, want string }{
		"unknown name": {"db_update_frequenzy", "1", `nearest is "db_update_frequency"`},
		"no number":    {"db_cache_ttl", "long", "want a number"},
		"negative":     {"db_cache_ttl", "-1", "want a number of at least 0"},
		"unknown word": {"worker_consistency", "strikt", `nearest is "strict"`},
		"fixed":        {"fixed", "1", `the target fixes it at "5"`},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			_, err := ref.Resolve(map[string]string{rule.name: rule.value})
			if err == nil || !strings.Contains(err.Error(), rule.want) {
				t.Errorf("got %v, want %q", err, rule.want)
			}
		})
	}
	var fixed *FixedError
	if _, err := ref.Resolve(map[string]string{"fixed": "1"}); !errors.As(err, &fixed) {
		t.Errorf("a fixed setting gave %v, want a FixedError", err)
	}
	if _, err := ref.Resolve(map[string]string{"fixed": "5"}); err != nil {
		t.Errorf("the fixed value itself was refused: %v", err)
	}
}

func TestBounds(t *testing.T) {
	const ms = time.Millisecond
	ref := reference(t)
	rules := map[string]struct {
		set                                         map[string]string
		lag                                         time.Duration
		propagation, tight, query, heal, settleTime time.Duration
	}{
		"suite defaults":   {nil, 0, 1000 * ms, 500 * ms, 1000 * ms, 2000 * ms, 1000 * ms},
		"delay":            {map[string]string{"db_update_propagation": "1.5"}, 0, 2500 * ms, 500 * ms, 1000 * ms, 3500 * ms, 1000 * ms},
		"lag":              {nil, time.Second, 2000 * ms, 1500 * ms, 1000 * ms, 3000 * ms, 1000 * ms},
		"eventual":         {map[string]string{"worker_consistency": "eventual", "worker_state_update_frequency": "0.3"}, 0, 1300 * ms, 800 * ms, 1000 * ms, 2300 * ms, 1000 * ms},
		"long interval":    {map[string]string{"db_update_frequency": "5"}, 0, 5500 * ms, 500 * ms, 5000 * ms, 10500 * ms, 10000 * ms},
		"short pg_timeout": {map[string]string{"db_update_frequency": "5", "pg_timeout": "700"}, 0, 5500 * ms, 500 * ms, 700 * ms, 6200 * ms, 10000 * ms},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			s, err := ref.Resolve(rule.set)
			if err != nil {
				t.Fatal(err)
			}
			got := ref.Bounds(s, rule.lag)
			want := Bounds{
				Propagation: rule.propagation, Tight: rule.tight, Query: rule.query, Heal: rule.heal,
				Settle: rule.settleTime, Slack: 500 * ms, Poll: s.Duration("db_update_frequency"),
			}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestEnvironmentStatesOnlyWhatWasStated(t *testing.T) {
	ref := reference(t)
	s, err := ref.Resolve(map[string]string{"db_cache_ttl": "3"})
	if err != nil {
		t.Fatal(err)
	}
	env := ref.Environment(s, map[string]string{"pg_port": "5433"}, "db_update_frequency")
	for _, want := range []string{"KONG_PG_PORT=5433", "KONG_DB_CACHE_TTL=3", "KONG_LOG_LEVEL=info"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing in %v", want, env)
		}
	}
	for _, line := range env {
		if strings.HasPrefix(line, "KONG_DB_RESURRECT_TTL=") || strings.HasPrefix(line, "KONG_DB_UPDATE_FREQUENCY=") || strings.HasPrefix(line, "KONG_PG_RO_HOST=") {
			t.Errorf("%s was not stated by anyone", line)
		}
	}
}

func TestStatementsBindTheirParameters(t *testing.T) {
	ref := reference(t)
	ref.SQL["twice"] = "SELECT {a}, {b}, {a}; SELECT {b}"
	got, err := ref.Statements("twice", map[string]string{"a": "1", "b": "2'"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].SQL != "SELECT $1, $2, $1" || got[1].SQL != "SELECT $1" || got[0].Args[1] != "2'" || got[1].Args[0] != "2'" {
		t.Errorf("got %+v", got)
	}
	if _, err := ref.Statements("twice", map[string]string{"a": "1"}); err == nil || !strings.Contains(err.Error(), "{b}") {
		t.Errorf("a missing parameter gave %v", err)
	}
	if _, err := ref.Statements("delete_rout", nil); err == nil || !strings.Contains(err.Error(), `"delete_route"`) {
		t.Errorf("an unknown statement gave %v", err)
	}
}

func TestCacheKey(t *testing.T) {
	got, err := reference(t).CacheKey("services", map[string]string{"id": "7", "workspace": "w"})
	if err != nil || got != "services:7:::::w" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"multi-node", "replica", "cache-admin"}
	rules := map[string]string{"multinode": "multi-node", "replca": "replica", "CACHE-ADMIN": "cache-admin", "cache": "cache-admin", "zzz": ""}
	for name, want := range rules {
		if got := Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestAnExpectationEndsWithItsDay(t *testing.T) {
	day := func(s string) time.Time { d, _ := time.Parse(time.DateTime, s); return d }
	rules := []struct {
		expires string
		now     string
		want    bool
	}{
		{"", "2030-01-01 00:00:00", false},
		{"2027-01-31", "2027-01-31 23:00:00", false},
		{"2027-01-31", "2027-02-01 00:00:01", true},
	}
	for _, rule := range rules {
		if got := (Expectation{Expires: rule.expires}).Expired(day(rule.now)); got != rule.want {
			t.Errorf("expires %q at %s: %v, want %v", rule.expires, rule.now, got, rule.want)
		}
	}
}
