package report

import (
	"encoding/xml"
	"fmt"
	"path"
	"strings"
	"time"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name      string       `xml:"name,attr"`
	ClassName string       `xml:"classname,attr"`
	File      string       `xml:"file,attr"`
	Line      int          `xml:"line,attr"`
	Time      string       `xml:"time,attr"`
	Failure   *junitResult `xml:"failure"`
	Error     *junitResult `xml:"error"`
	Skipped   *junitResult `xml:"skipped"`
}

type junitResult struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the results as JUnit XML: fail and unexpected-pass are failures, unknown and
// setup-error are errors, and what gave no verdict on the target is skipped.
func JUnit(r *Results) ([]byte, error) {
	all := junitSuites{Name: "tidemark " + r.Target.Name, Time: xmlSeconds(r.Duration)}
	at := map[string]int{}
	spent := map[string]Millis{}
	for _, s := range r.Scenarios {
		i, found := at[s.URI]
		if !found {
			i = len(all.Suites)
			at[s.URI] = i
			all.Suites = append(all.Suites, junitSuite{Name: s.Feature, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05")})
		}
		suite := &all.Suites[i]
		suite.add(s)
		spent[s.URI] += s.Duration
		suite.Time = xmlSeconds(spent[s.URI])
	}
	for _, s := range all.Suites {
		all.Tests, all.Failures, all.Errors, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors, all.Skipped+s.Skipped
	}
	data, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write junit: %w", err)
	}
	return append([]byte(xml.Header), append(data, '\n')...), nil
}

func (suite *junitSuite) add(s Scenario) {
	c := junitCase{
		Name: s.ID, ClassName: strings.TrimSuffix(path.Base(s.URI), ".feature"), File: s.URI, Line: s.Line, Time: xmlSeconds(s.Duration),
	}
	result := &junitResult{Message: s.Reason, Type: string(s.Verdict)}
	suite.Tests++
	switch s.Verdict {
	case Pass:
	case Fail, UnexpectedPass:
		suite.Failures++
		result.Text = strings.Join(explain(s, nil), "\n")
		c.Failure = result
	case Unknown, SetupError:
		suite.Errors++
		c.Error = result
	default:
		suite.Skipped++
		c.Skipped = result
	}
	suite.Cases = append(suite.Cases, c)
}

func xmlSeconds(m Millis) string {
	return fmt.Sprintf("%.3f", m.Duration().Truncate(time.Millisecond).Seconds())
}
