// Package report is what a run leaves behind: results.json, junit.xml, report.txt and the lines on
// the terminal.
//
// All of them are written from one [Results] value, so they cannot disagree: the verdicts, the counts
// and the exit code are decided before anything is printed.
package report

import (
	_ "embed"
	"encoding/json"
	"time"
)

// Schema is the JSON Schema that every results.json is valid against.
//
//go:embed results.schema.json
var Schema []byte

// SchemaName stands in results.json and changes when its meaning does.
const SchemaName = "tidemark/results/1"

// A Verdict is what a scenario, a statement or a run came to.
type Verdict string

// The verdicts.
const (
	Pass           Verdict = "pass"            // the guarantee held, every fault was witnessed
	Fail           Verdict = "fail"            // the guarantee broke
	Unknown        Verdict = "unknown"         // cannot say
	Unsupported    Verdict = "unsupported"     // the target does not claim what the scenario needs
	ExpectedFail   Verdict = "expected-fail"   // the target's file lists it, with reason and link
	UnexpectedPass Verdict = "unexpected-pass" // listed as failing, but passed
	SetupError     Verdict = "setup-error"     // the target could not be brought up
	NotRun         Verdict = "not-run"         // selected out, or the run was stopped
)

// Results is results.json.
type Results struct {
	Schema      string           `json:"schema"`
	Suite       Suite            `json:"suite"`
	Target      Target           `json:"target"`
	Limits      map[string]Limit `json:"limits"`
	Seed        uint64           `json:"seed"`
	Started     time.Time        `json:"started"`
	Duration    Millis           `json:"duration_ms"`
	Waiting     Millis           `json:"waiting_ms"`
	LowerBound  Millis           `json:"lower_bound_ms"`
	Cells       int              `json:"cells"`
	HeldBack    *HeldBack        `json:"held_back,omitempty"`
	Busy        *Busy            `json:"busy,omitempty"`
	Verdict     Verdict          `json:"verdict"`
	Exit        int              `json:"exit"`
	Reason      string           `json:"reason,omitempty"` // why the harness broke or the run stopped
	Summary     Summary          `json:"summary"`
	Scenarios   []Scenario       `json:"scenarios"`
	Statements  []Statement      `json:"statements"`
	Propagation *Distribution    `json:"propagation,omitempty"`
	Proof       *Proof           `json:"proof,omitempty"`
}

// HeldBack says that scenarios started later than they could have, since this machine was too busy.
type HeldBack struct {
	Starts int `json:"starts"`  // that waited
	AtOnce int `json:"at_once"` // the fewest that ran meanwhile
}

// Busy says that scenarios could not be judged, and that this machine was too busy while they ran.
type Busy struct {
	Scenarios int     `json:"scenarios"`
	Load      float64 `json:"load"` // of the last minute; 0: not known
	Cores     int     `json:"cores"`
	TryCells  int     `json:"try_cells"`
}

// Suite names what judged.
type Suite struct {
	Version        string `json:"version"`
	FeaturesDigest string `json:"features_digest"`
}

// Target names what was judged.
type Target struct {
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	Driver   string            `json:"driver"`
	Nodes    int               `json:"nodes"` // the most that a scenario asked for
	Settings map[string]string `json:"settings"`
	Defects  []string          `json:"defects,omitempty"`
}

// A Limit is one named bound with the settings in force.
type Limit struct {
	MS      Millis `json:"ms"`
	Formula string `json:"formula"`
	Default Millis `json:"default"` // with the suite's own tolerances
	Why     string `json:"why,omitempty"`
}

// Summary counts scenarios by verdict.
type Summary struct {
	Pass           int `json:"pass"`
	Fail           int `json:"fail"`
	Unknown        int `json:"unknown"`
	Unsupported    int `json:"unsupported"`
	ExpectedFail   int `json:"expected_fail"`
	UnexpectedPass int `json:"unexpected_pass"`
	SetupError     int `json:"setup_error"`
	NotRun         int `json:"not_run"`
}

// Count adds one scenario of the verdict.
func (s *Summary) Count(v Verdict) {
	switch v {
	case Pass:
		s.Pass++
	case Fail:
		s.Fail++
	case Unknown:
		s.Unknown++
	case Unsupported:
		s.Unsupported++
	case ExpectedFail:
		s.ExpectedFail++
	case UnexpectedPass:
		s.UnexpectedPass++
	case SetupError:
		s.SetupError++
	case NotRun:
		s.NotRun++
	}
}

// A Scenario is one scenario, whatever became of it.
type Scenario struct {
	ID           string            `json:"id"`
	Feature      string            `json:"feature"`
	Name         string            `json:"name"`
	URI          string            `json:"uri"`
	Line         int               `json:"line"`
	Level        string            `json:"level"`
	Statements   []string          `json:"statements"`
	Capabilities []string          `json:"capabilities"`
	Verdict      Verdict           `json:"verdict"`
	Reason       string            `json:"reason,omitempty"`
	Duration     Millis            `json:"duration_ms"`
	Waiting      Millis            `json:"waiting_ms"`
	Cell         int               `json:"cell,omitempty"`
	Bounds       map[string]Millis `json:"bounds"`
	Runs         []Run             `json:"runs"`
	PassRate     float64           `json:"pass_rate"`
	Failure      *Failure          `json:"failure,omitempty"`
	Faults       []Fault           `json:"faults"`
	Propagation  []Propagation     `json:"propagation"`
	History      string            `json:"history,omitempty"`
	Logs         []string          `json:"logs"`
	Replay       string            `json:"replay"`
}

// A Run is one of the repetitions of a scenario.
type Run struct {
	N        int     `json:"n"`
	Verdict  Verdict `json:"verdict"`
	Duration Millis  `json:"duration_ms"`
}

// A Failure says what broke, where and when.
type Failure struct {
	Step          string  `json:"step"`
	Statement     string  `json:"statement"`
	Expected      string  `json:"expected"`
	Actual        string  `json:"actual"`
	Node          int     `json:"node"` // 0: no node in particular
	Request       string  `json:"request"`
	MSSinceChange Millis  `json:"ms_since_change"`
	Polls         float64 `json:"polls"`
}

// A Fault is a disturbance and its witness; times count from the scenario's begin.
type Fault struct {
	Name      string `json:"name"`
	Wire      string `json:"wire"`
	Node      int    `json:"node"`
	From      Millis `json:"from_ms"`
	To        Millis `json:"to_ms"`
	Witnessed bool   `json:"witnessed"`
	Evidence  string `json:"evidence"`
}

// A Propagation is how long one change took to be seen on one node.
type Propagation struct {
	Change string  `json:"change"`
	Node   int     `json:"node"`
	MS     Millis  `json:"ms"`
	Polls  float64 `json:"polls"`
	Bound  Millis  `json:"bound_ms"`
}

// A Statement is a numbered sentence of the documents, and what its scenarios came to.
type Statement struct {
	ID               string   `json:"id"`
	Text             string   `json:"text"`
	Level            string   `json:"level"`
	Source           string   `json:"source"`
	Scenarios        []string `json:"scenarios"`
	Verdict          Verdict  `json:"verdict"`
	NotTestedBecause string   `json:"not_tested_because,omitempty"`
}

// A Distribution sums up all propagations of a run.
type Distribution struct {
	Count    int     `json:"count"`
	P50      Millis  `json:"p50_ms"`
	P95      Millis  `json:"p95_ms"`
	P99      Millis  `json:"p99_ms"`
	Max      Millis  `json:"max_ms"`
	P50Polls float64 `json:"p50_polls"`
	MaxPolls float64 `json:"max_polls"`
}

// A Proof sums up the kill matrix.
type Proof struct {
	Defects int `json:"defects"`
	Killed  int `json:"killed"`
}

// Millis is a duration that is written as milliseconds with at most three decimals.
type Millis time.Duration

// MarshalJSON writes milliseconds.
func (m Millis) MarshalJSON() ([]byte, error) {
	return json.Marshal(float64(time.Duration(m).Microseconds()) / 1000)
}

// UnmarshalJSON reads milliseconds.
func (m *Millis) UnmarshalJSON(text []byte) error {
	var ms float64
	if err := json.Unmarshal(text, &ms); err != nil {
		return err
	}
	*m = Millis(ms * float64(time.Millisecond))
	return nil
}

// Duration converts.
func (m Millis) Duration() time.Duration { return time.Duration(m) }
