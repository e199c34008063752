// Package suite is a run: it selects scenarios, gives each a cluster of its own and a seed, decides
// the verdicts, and proves that every scenario can fail.
//
// What it promises: a scenario has one verdict, a retry never turns red into green, and results,
// files, terminal and exit code say the same. What a scenario does lies in steps; whether a
// guarantee held is judged in history; here is only what follows from it.
//
// It is longer than most rooms, since it reads from top to bottom: what a feature says (scenario,
// select, statements), how it is played (plan, lab, run), what follows (verdict, results) and the proof
// (prove). Each part is called by the next and by nobody else.
package suite

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	gherkin "github.com/cucumber/gherkin/go/v42"
	messages "github.com/cucumber/messages/go/v34"
)

// A Scenario is one scenario of a feature, or one row of an outline.
type Scenario struct {
	ID      string // <feature file>/<slug of the name>[#<slug of the row's first column>]; stable
	Feature string
	Name    string
	URI     string // features/x.feature
	Line    int

	Level        string   // must, should or beyond; the scenario's own wins over its feature's
	Statements   []string // CLU-13, P01
	Capabilities []string // multi-node, sql: what a target must claim

	Steps []Step // those of the background first

	tagLines map[string]int // where each tag stands
}

// A Step is one sentence of a scenario.
type Step struct {
	Keyword   string // Given, When, Then, And
	Text      string
	Line      int
	DocString string
	Table     [][]string
	hasDoc    bool
}

// A FeatureError is a mistake in the text of a feature. It is the author's, so the run ends with 64.
type FeatureError struct {
	URI     string
	Line    int
	Message string
}

func (e *FeatureError) Error() string { return fmt.Sprintf("%s:%d: %s", e.URI, e.Line, e.Message) }

// Load reads every features/*.feature of the file system, in the order of the files' names.
func Load(fsys fs.FS) ([]Scenario, error) {
	files, err := fs.Glob(fsys, "features/*.feature")
	if err != nil {
		return nil, fmt.Errorf("list features: %w", err)
	}
	var all []Scenario
	for _, file := range files {
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("read feature: %w", err)
		}
		scenarios, err := parse(file, text)
		if err != nil {
			return nil, err
		}
		all = append(all, scenarios...)
	}
	where := map[string]Scenario{}
	for _, s := range all {
		if other, taken := where[s.ID]; taken {
			return nil, &FeatureError{s.URI, s.Line, fmt.Sprintf("the id %s is taken by line %d", s.ID, other.Line)}
		}
		where[s.ID] = s
	}
	return all, nil
}

// Digest names the text of all features and requirements, so that two results can be told to have
// judged the same.
func Digest(fsys fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(fsys, "features", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(fsys, file)
		fmt.Fprintf(sum, "%s %d\n%s", file, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read features: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))[:16], nil
}

var located = regexp.MustCompile(`\((\d+):\d+\): (.*)`)

func parse(uri string, text []byte) ([]Scenario, error) {
	ids := (&messages.Incrementing{}).NewId
	document, err := gherkin.ParseGherkinDocument(bytes.NewReader(text), ids)
	if err != nil {
		mistake := &FeatureError{URI: uri, Line: 1, Message: err.Error()}
		if m := located.FindStringSubmatch(err.Error()); m != nil {
			fmt.Sscan(m[1], &mistake.Line)
			mistake.Message = m[2]
		}
		return nil, mistake
	}
	if document.Feature == nil {
		return nil, &FeatureError{uri, 1, "no feature in this file"}
	}
	ast := index(document.Feature)
	var scenarios []Scenario
	for _, pickle := range gherkin.Pickles(*document, uri, ids) {
		scenarios = append(scenarios, ast.scenario(uri, document.Feature.Name, pickle))
	}
	return scenarios, nil
}

// An astIndex finds the parts of a feature's text that a pickle was made of.
type astIndex struct {
	scenarios map[string]*messages.Scenario
	rows      map[string]*messages.TableRow
	steps     map[string]*messages.Step
	tags      map[string]int // their lines
}

func index(feature *messages.Feature) astIndex {
	ast := astIndex{map[string]*messages.Scenario{}, map[string]*messages.TableRow{}, map[string]*messages.Step{}, map[string]int{}}
	ast.note(feature.Tags)
	add := func(background *messages.Background, scenario *messages.Scenario) {
		if background != nil {
			for _, step := range background.Steps {
				ast.steps[step.Id] = step
			}
		}
		if scenario == nil {
			return
		}
		ast.scenarios[scenario.Id] = scenario
		ast.note(scenario.Tags)
		for _, step := range scenario.Steps {
			ast.steps[step.Id] = step
		}
		for _, examples := range scenario.Examples {
			ast.note(examples.Tags)
			for _, row := range examples.TableBody {
				ast.rows[row.Id] = row
			}
		}
	}
	for _, child := range feature.Children {
		add(child.Background, child.Scenario)
		if child.Rule != nil {
			ast.note(child.Rule.Tags)
			for _, inner := range child.Rule.Children {
				add(inner.Background, inner.Scenario)
			}
		}
	}
	return ast
}

func (ast astIndex) note(tags []*messages.Tag) {
	for _, tag := range tags {
		ast.tags[tag.Id] = int(tag.Location.Line)
	}
}

func (ast astIndex) scenario(uri, feature string, pickle *messages.Pickle) Scenario {
	s := Scenario{Feature: feature, Name: pickle.Name, URI: uri, tagLines: map[string]int{}}
	for _, id := range pickle.AstNodeIds {
		if scenario := ast.scenarios[id]; scenario != nil {
			s.ID = strings.TrimSuffix(path.Base(uri), ".feature") + "/" + slug(scenario.Name)
			s.Line = int(scenario.Location.Line)
		}
		if row := ast.rows[id]; row != nil {
			s.ID += "#" + slug(row.Cells[0].Value)
			s.Line = int(row.Location.Line)
		}
	}
	for _, tag := range pickle.Tags {
		name := strings.TrimPrefix(tag.Name, "@")
		s.tag(name)
		s.tagLines[name] = ast.tags[tag.AstNodeId]
	}
	for _, step := range pickle.Steps {
		written := ast.steps[step.AstNodeIds[0]]
		s.Steps = append(s.Steps, pickled(written, step))
	}
	return s
}

func pickled(written *messages.Step, step *messages.PickleStep) Step {
	s := Step{Keyword: strings.TrimSpace(written.Keyword), Text: step.Text, Line: int(written.Location.Line)}
	if step.Argument == nil {
		return s
	}
	if step.Argument.DocString != nil {
		s.DocString, s.hasDoc = step.Argument.DocString.Content, true
	}
	if step.Argument.DataTable != nil {
		for _, row := range step.Argument.DataTable.Rows {
			var cells []string
			for _, cell := range row.Cells {
				cells = append(cells, cell.Value)
			}
			s.Table = append(s.Table, cells)
		}
	}
	return s
}

// tag sorts a tag into one of the three kinds. Tags come from the outside in, so the last level is
// the scenario's own.
func (s *Scenario) tag(tag string) {
	switch {
	case slices.Contains(Levels(), tag):
		s.Level = tag
	case statementTag.MatchString(tag):
		if !slices.Contains(s.Statements, tag) {
			s.Statements = append(s.Statements, tag)
		}
	case !slices.Contains(s.Capabilities, tag):
		s.Capabilities = append(s.Capabilities, tag)
	}
}

var statementTag = regexp.MustCompile(`^[A-Z]+-?[0-9]+[a-z]?$`)

// Levels are must (the documents say it), should (the linked reference does) and beyond (users were
// bitten).
func Levels() []string { return []string{"must", "should", "beyond"} }

// Tags returns all tags in force, with their @.
func (s Scenario) Tags() []string {
	var tags []string
	for _, tag := range slices.Concat([]string{s.Level}, s.Statements, s.Capabilities) {
		if tag != "" {
			tags = append(tags, "@"+tag)
		}
	}
	return tags
}

// prepares says whether a sentence belongs to what is Given.
func (s Scenario) prepares(sentence string) bool {
	given := false
	for _, step := range s.Steps {
		if step.Keyword != "And" && step.Keyword != "But" && step.Keyword != "*" {
			given = step.Keyword == "Given"
		}
		if step.Text == sentence {
			return given
		}
	}
	return false
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slug is lower case, with each run of other characters turned into one hyphen.
func slug(text string) string {
	return strings.Trim(notSlug.ReplaceAllString(strings.ToLower(text), "-"), "-")
}

// text writes the scenario as a feature of its own, its outline filled in and its background part of
// it, so that it can be run alone, in any order and as often as wanted.
func (s Scenario) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Feature: %s\n\n  Scenario: %s\n", s.Feature, s.Name)
	for _, step := range s.Steps {
		fmt.Fprintf(&b, "    %s %s\n", step.Keyword, step.Text)
		if step.hasDoc {
			fmt.Fprintf(&b, "\"\"\"\n%s\n\"\"\"\n", strings.ReplaceAll(step.DocString, `"""`, `\"\"\"`))
		}
		for _, row := range step.Table {
			b.WriteString("      |")
			for _, cell := range row {
				fmt.Fprintf(&b, " %s |", cellEscape.Replace(cell))
			}
			b.WriteString("\n")
		}
	}
	return b.Bytes()
}

var cellEscape = strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", `\n`)
