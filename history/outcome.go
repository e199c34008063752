package history

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Violation says that a guarantee broke: the entries prove it, whoever reads them.
type Violation struct {
	Statement   string // CLU-22; may be empty until the scenario's tags are known
	Expected    string // the guarantee, in words
	Actual      string // what was seen instead
	Request     string
	Node        int           // from 1; 0: no node in particular
	SinceChange time.Duration // from the change's answer (or the healing) to the look that shows it
	Polls       float64       // SinceChange in poll intervals; 0 when the interval is not known
}

// Error says it in one line.
func (v *Violation) Error() string {
	var b strings.Builder
	if v.Statement != "" {
		b.WriteString(v.Statement + ": ")
	}
	fmt.Fprintf(&b, "expected %s; saw %s", v.Expected, v.Actual)
	if v.Node > 0 {
		fmt.Fprintf(&b, " (node %d", v.Node)
		if v.Request != "" {
			fmt.Fprintf(&b, ", %s", v.Request)
		}
		b.WriteString(")")
	}
	if v.SinceChange != 0 {
		fmt.Fprintf(&b, " %d ms after the change", v.SinceChange.Milliseconds())
	}
	return b.String()
}

// A Doubt says that the entries cannot decide: a fault was not witnessed, nothing was looked at, the harness
// ran late.
type Doubt struct{ Why string }

// Error returns the reason.
func (d *Doubt) Error() string { return "cannot say: " + d.Why }

// Doubtf returns a doubt with a formatted reason.
func Doubtf(format string, args ...any) *Doubt { return &Doubt{Why: fmt.Sprintf(format, args...)} }

// Witnessed returns a doubt for each fault without a witness, joined; nil when all had one.
func Witnessed(faults []Fault) error {
	var doubts []error
	for _, f := range faults {
		if !f.Witnessed {
			doubts = append(doubts, Doubtf("%s (node %d) was not witnessed: %s", f.Name, f.Node, f.Evidence))
		}
	}
	return errors.Join(doubts...)
}
