package suite

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"

	"tidemark/target"
)

// A Statement is one numbered sentence of the documents, as features/requirements.yaml has it.
type Statement struct {
	ID string `yaml:"-"`

	Text   string `yaml:"text"`
	Level  string `yaml:"level"`
	Source string `yaml:"source"` // S0 L454: which page, which line

	// NotTestedBecause is owed where no scenario carries the id.
	NotTestedBecause string `yaml:"not_tested_because"`
}

const requirements = "features/requirements.yaml"

// Statements reads features/requirements.yaml, sorted by family and number.
func Statements(fsys fs.FS) ([]Statement, error) {
	text, err := fs.ReadFile(fsys, requirements)
	if err != nil {
		return nil, fmt.Errorf("read statements: %w", err)
	}
	byID := map[string]Statement{}
	if err := target.Decode(requirements, text, &byID); err != nil {
		return nil, err
	}
	var all []Statement
	for id, s := range byID {
		s.ID = id
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Statement) int { return compareIDs(a.ID, b.ID) })
	return all, nil
}

var idParts = regexp.MustCompile(`^([A-Z]+)-?([0-9]+)([a-z]?)$`)

// compareIDs orders CLU-9 before CLU-10 and CLU-58a before CLU-58b.
func compareIDs(a, b string) int {
	x, y := idParts.FindStringSubmatch(a), idParts.FindStringSubmatch(b)
	if x == nil || y == nil || x[1] != y[1] {
		return compareText(a, b)
	}
	n, _ := strconv.Atoi(x[2])
	m, _ := strconv.Atoi(y[2])
	if n != m {
		return n - m
	}
	return compareText(x[3], y[3])
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Covered says where statements and tags disagree: a tag that is no statement, a statement without
// scenario and reason, or with both; a level that is none.
func Covered(statements []Statement, scenarios []Scenario) []error {
	var wrong []error
	known := map[string]Statement{}
	for _, s := range statements {
		known[s.ID] = s
		if !slices.Contains(Levels(), s.Level) || s.Text == "" || s.Source == "" || !statementTag.MatchString(s.ID) {
			wrong = append(wrong, fmt.Errorf("%s: statement %s owes a text, a source and a level (%q)", requirements, s.ID, s.Level))
		}
	}
	tagged := map[string]bool{}
	for _, s := range scenarios {
		if s.Level == "" {
			wrong = append(wrong, fmt.Errorf("%s:%d: %s has no level", s.URI, s.Line, s.ID))
		}
		if len(s.Statements) == 0 {
			wrong = append(wrong, fmt.Errorf("%s:%d: %s carries no statement", s.URI, s.Line, s.ID))
		}
		for _, id := range s.Statements {
			tagged[id] = true
			if _, found := known[id]; !found {
				wrong = append(wrong, fmt.Errorf("%s:%d: %s carries %s, which %s does not list", s.URI, s.Line, s.ID, id, requirements))
			}
		}
	}
	for _, s := range statements {
		switch {
		case tagged[s.ID] && s.NotTestedBecause != "":
			wrong = append(wrong, fmt.Errorf("%s: %s is said not to be tested, but a scenario carries it", requirements, s.ID))
		case !tagged[s.ID] && s.NotTestedBecause == "":
			wrong = append(wrong, fmt.Errorf("%s: %s has neither a scenario nor a reason", requirements, s.ID))
		}
	}
	return wrong
}
