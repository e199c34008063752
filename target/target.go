// Package target holds what is known of a product under test, and nothing else of the suite
// knows more: what it claims, how its nodes are started, which settings it has and what follows
// from them in time, and the SQL that reaches behind its back.
//
// All of it comes from one YAML file. A wrong key, type or unit in that file is an error with
// file, line and the nearest right name, so that a new product needs no Go.
package target

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Target is one product, as its file describes it. It is read only: share it freely.
type Target struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`

	// Claims lists the capabilities (tags without the @) that the product has. A scenario that
	// needs another one is unsupported.
	Claims []string `yaml:"claims"`

	Start    Start              `yaml:"start"`
	Settings map[string]Setting `yaml:"settings"`

	// Log gives, for each thing that the documents want logged, a fragment of the line.
	Log    map[string]string `yaml:"log"`
	Limits Limits            `yaml:"limits"`

	// SQL holds what scenarios do behind the product's back, by name; see [Target.Statements].
	SQL map[string]string `yaml:"sql"`

	// CacheKeys holds the key under which /cache knows an entity, by kind, with its parts in braces:
	// {id}, {key}, {username}, {workspace}.
	CacheKeys map[string]string `yaml:"cache_keys"`

	// PollPattern is the text that a node's poll, and nothing else, sends to the database.
	PollPattern string `yaml:"poll_pattern"`

	Defects      []Defect      `yaml:"defects"`
	Expectations []Expectation `yaml:"expectations"`

	file string // where it was read, for what turns out to be wrong later
	data []byte
}

// Start says how one node becomes ready, and how it ends.
type Start struct {
	// Program is looked up beside tidemark, then on PATH, unless it holds a slash.
	Program string   `yaml:"program"`
	Args    []string `yaml:"args"`

	// Prepare holds the arguments of the program that set up an empty database. They run once for
	// the template that all clusters are copied from.
	Prepare []string `yaml:"prepare"`

	// AddressFile, ConfigFile and Defect are arguments added where a node is given such a thing;
	// {file} and {name} stand for it.
	AddressFile []string `yaml:"address_file"`
	ConfigFile  []string `yaml:"config_file"`
	Defect      []string `yaml:"defect"`

	// Env maps settings, and what only the driver knows (pg_host, proxy_listen, …), to the product's
	// environment variables. What has no value is not set.
	Env map[string]string `yaml:"env"`

	// ConfigKeys maps settings to the product's names in its configuration file, where they differ.
	ConfigKeys map[string]string `yaml:"config_keys"`

	Ready Ready `yaml:"ready"`
	Stop  Stop  `yaml:"stop"`
}

// Ready says when a started node may be used: its status listener answers Path with Status.
type Ready struct {
	Path    string `yaml:"path"`
	Status  int    `yaml:"status"`
	Timeout Millis `yaml:"timeout_ms"`
}

// Stop says how a node is asked to end, and for how long it is waited for before it is killed.
type Stop struct {
	Signal  string `yaml:"signal"`
	Timeout Millis `yaml:"timeout_ms"`
}

// A Setting is one property of a node.
type Setting struct {
	// Unit is s, ms, mb, count, word or text. A value that the unit does not allow is an error.
	Unit string `yaml:"unit"`

	// Default is the product's own; empty means that it has none.
	Default Text `yaml:"default"`

	// Suite is what the suite sets unless a scenario or --set says otherwise; empty leaves Default.
	Suite Text `yaml:"suite"`

	// Fixed means that the product cannot be given another value than this: a scenario that asks for
	// one is unsupported.
	Fixed Text `yaml:"fixed"`

	// OneOf lists the words allowed where Unit is word.
	OneOf []string `yaml:"one_of"`
}

// Limits are the tolerances of time. The report prints a slack above the default in red.
type Limits struct {
	// Slack is added to each bound for what machines need. Default 500 ms.
	Slack Millis `yaml:"slack_ms"`

	// Immediate is how long after its answer a change may take on the node that made it. 0 means
	// the very next request.
	Immediate Millis `yaml:"immediate_ms"`

	// Why is owed where a limit is above its default.
	Why string `yaml:"why"`
}

// A Defect is one way in which the reference can be broken, and the scenarios (ids) that must go
// red when it is.
type Defect struct {
	Name      string   `yaml:"name"`
	Scenarios []string `yaml:"scenarios"`
}

// An Expectation excuses one scenario: it is known to end with Verdict, for a reason, until a day.
type Expectation struct {
	Scenario string `yaml:"scenario"`
	Verdict  string `yaml:"verdict"`
	Reason   string `yaml:"reason"`
	Link     string `yaml:"link"`
	Expires  string `yaml:"expires"` // 2006-01-02; empty: never
}

// Expired says whether the expectation no longer counts on that day.
func (e Expectation) Expired(now time.Time) bool {
	day, err := time.Parse(time.DateOnly, e.Expires)
	return e.Expires != "" && (err != nil || now.After(day.AddDate(0, 0, 1)))
}

// Text is a scalar of the file as it was written: 0.5, true and strict alike.
type Text string

// Millis is a duration that the file gives in milliseconds.
type Millis int

// Duration converts.
func (m Millis) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// Supports returns the first of the capabilities that the target does not claim, or "".
func (t *Target) Supports(capabilities []string) (lacking string) {
	for _, c := range capabilities {
		if !slices.Contains(t.Claims, strings.TrimPrefix(c, "@")) {
			return strings.TrimPrefix(c, "@")
		}
	}
	return ""
}

// Expectation returns what is expected of the scenario, or nil.
func (t *Target) Expectation(scenario string) *Expectation {
	for i := range t.Expectations {
		if t.Expectations[i].Scenario == scenario {
			return &t.Expectations[i]
		}
	}
	return nil
}

// CacheKey fills the template of the kind ("services") with the parts ("id", "workspace").
func (t *Target) CacheKey(kind string, parts map[string]string) (string, error) {
	template, found := t.CacheKeys[kind]
	if !found {
		return "", fmt.Errorf("cache key of %s: the target %s names none%s", kind, t.Name, Near(kind, keys(t.CacheKeys)))
	}
	return fill(template, parts, func(_, value string) string { return value })
}
