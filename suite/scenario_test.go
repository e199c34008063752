package suite

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"tidemark/steps"
	"tidemark/target"
)

const outlined = `@must @multi-node
Feature: A guarantee

  Background:
    Given a cluster of 2 nodes

  @CLU-13
  Scenario: It holds, always!
    When something happens
      """
      a \ b
      """
    Then it holds
      | a  | b    |
      | \| | c\nd |

  @should @P01 @CLU-13 @sql
  Scenario Outline: <change> is seen by <who> in time
    When <change> is made by <who>
    Then it is seen within 3 s

    Examples:
      | change      | who    |
      | a new route | node 1 |
      | A PATCH     | node 2 |
`

func features(t *testing.T, text string) []Scenario {
	t.Helper()
	all, err := Load(fstest.MapFS{"features/some_thing.feature": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func ids(scenarios []Scenario) []string {
	var all []string
	for _, s := range scenarios {
		all = append(all, s.ID)
	}
	return all
}

func TestIDs(t *testing.T) {
	want := []string{
		"some_thing/it-holds-always",
		"some_thing/change-is-seen-by-who-in-time#a-new-route",
		"some_thing/change-is-seen-by-who-in-time#a-patch",
	}
	if got := ids(features(t, outlined)); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestWhatAScenarioIs(t *testing.T) {
	s := features(t, outlined)[2]
	if s.Level != "should" || !slices.Equal(s.Statements, []string{"P01", "CLU-13"}) || !slices.Equal(s.Capabilities, []string{"multi-node", "sql"}) {
		t.Errorf("tags sorted wrongly: %+v", s)
	}
	if s.Line != 25 || s.Name != "A PATCH is seen by node 2 in time" || len(s.Steps) != 3 || s.Steps[0].Text != "a cluster of 2 nodes" {
		t.Errorf("read wrongly: %+v", s)
	}
	if s.nodes() != 2 || s.estimate(0).Seconds() != 3.5 {
		t.Errorf("%d nodes, estimate %s; want 2 and 3.5 s", s.nodes(), s.estimate(0))
	}
}

// A scenario that is written out as a feature of its own must be the same scenario.
func TestAScenarioAloneIsTheSame(t *testing.T) {
	for _, s := range features(t, outlined) {
		again := features(t, string(s.text()))
		if len(again) != 1 || again[0].Name != s.Name || len(again[0].Steps) != len(s.Steps) {
			t.Fatalf("%s became %+v from\n%s", s.ID, again, s.text())
		}
		for i, step := range again[0].Steps {
			want := s.Steps[i]
			if step.Text != want.Text || step.DocString != want.DocString || !slices.EqualFunc(step.Table, want.Table, slices.Equal) {
				t.Errorf("step %q became %+v, want %+v", want.Text, step, want)
			}
		}
	}
}

func TestAFeatureThatIsWrongNamesItsPlace(t *testing.T) {
	rules := map[string]struct{ text, want string }{
		"no gherkin": {"Feature: x\n  Scenario: y\n    Given z\n    Gven z\n", "features/some_thing.feature:4: "},
		"twice":      {"Feature: x\n  Scenario: y\n    Given z\n  Scenario: Y!\n    Given z\n", "features/some_thing.feature:4: the id some_thing/y is taken by line 2"},
		"empty":      {"", "features/some_thing.feature:1: no feature"},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			_, err := Load(fstest.MapFS{"features/some_thing.feature": {Data: []byte(rule.text)}})
			var mistake *FeatureError
			if !errors.As(err, &mistake) || !strings.HasPrefix(err.Error(), rule.want) {
				t.Errorf("got %v, want %q", err, rule.want)
			}
		})
	}
}

func TestUnknownPhrases(t *testing.T) {
	phrases := []steps.Phrase{
		{Expression: `a cluster of (\d+) nodes`, Example: "a cluster of 2 nodes"},
		{Expression: `something (.+)`, Example: "something happens"},
		{Expression: `something happens`, Example: "something happens"},
		{Expression: `it holds`, Example: "it holds"},
	}
	all := features(t, outlined)
	err := Spoken(all[:1], phrases)
	if err == nil || !strings.HasPrefix(err.Error(), `features/some_thing.feature:9: ambiguous phrase "something happens"`) {
		t.Errorf("an ambiguous phrase gave %v", err)
	}
	phrases[1].Expression = `nothing (.+)`
	if err := Spoken(all[:1], phrases); err != nil {
		t.Errorf("known phrases gave %v", err)
	}
	err = Spoken(all[1:], append(phrases, steps.Phrase{Expression: `a new car is made`, Example: "a new car is made"}))
	if err == nil || !strings.HasPrefix(err.Error(), `features/some_thing.feature:19: unknown phrase "a new route is made by node 1"; nearest is "a new car is made"`) {
		t.Errorf("an unknown phrase gave %v", err)
	}
}

func TestTagExpressions(t *testing.T) {
	tags := []string{"@a", "@b"}
	rules := map[string]bool{
		"@a":                         true,
		"not @a":                     false,
		"@a and not @c":              true,
		"@c or @b":                   true,
		"@c and @a or @b":            true,
		"@b or @a and @c":            true,
		"(@b or @a) and @c":          false,
		"not (@c or not @a)":         true,
		"not not @a":                 true,
		"not @c and not @a or  (@b)": true,
	}
	for expression, want := range rules {
		holds, err := compileTags(expression, []string{"@a", "@b", "@c"})
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got := holds(tags); got != want {
			t.Errorf("%s on %v is %v, want %v", expression, tags, got, want)
		}
	}
}

func TestTagExpressionsThatAreWrong(t *testing.T) {
	rules := map[string]string{
		"@multi-nod":    `unknown tag "@multi-nod"; nearest is "@multi-node"`,
		"must":          `"must" is no tag; tags begin with @`,
		"@must &&":      `unexpected "&&"`,
		"@must and":     "it ends where a tag was due",
		"(@must":        "a parenthesis is not closed",
		"@must @should": `unexpected "@should"`,
		"":              "it ends where a tag was due",
		"~@must":        `"~@must" is no tag`,
	}
	for expression, want := range rules {
		_, err := compileTags(expression, []string{"@must", "@should", "@multi-node"})
		var mistake *UsageError
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, want %q", expression, err, want)
		}
	}
}

func TestSelect(t *testing.T) {
	all := features(t, outlined+"\n  @long @CLU-51\n  Scenario: It takes an hour\n    Then it holds\n")
	rules := map[string]struct {
		selection Selection
		want      []int
	}{
		"all but the long ones": {Selection{}, []int{0, 1, 2}},
		"level":                 {Selection{Tags: "@should"}, []int{1, 2}},
		"the scenario's level":  {Selection{Tags: "@must"}, []int{0, 3}},
		"row":                   {Selection{IDs: []string{"some_thing/change-is-seen-by-who-in-time#a-patch"}}, []int{2}},
		"outline":               {Selection{IDs: []string{"some_thing/change-is-seen-by-who-in-time"}}, []int{1, 2}},
		"statement":             {Selection{Statements: []string{"P01"}}, []int{1, 2}},
		"name":                  {Selection{Name: "^It holds"}, []int{0}},
		"both":                  {Selection{Name: "node 2", Tags: "@sql"}, []int{2}},
		"profile":               {Selection{Profile: "long"}, []int{3}},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			got, err := Select(all, rule.selection)
			var want []string
			for _, i := range rule.want {
				want = append(want, all[i].ID)
			}
			if err != nil || !slices.Equal(ids(got), want) {
				t.Errorf("got %v (%v), want %v", ids(got), err, want)
			}
		})
	}
}

func TestSelectingNothingIsAMistake(t *testing.T) {
	rules := map[string]struct {
		selection Selection
		want      string
	}{
		"nothing in common": {Selection{Tags: "@must", Statements: []string{"P01"}}, "nothing is selected"},
		"unknown scenario":  {Selection{IDs: []string{"some_thing/it-holds-alway"}}, `nearest is "some_thing/it-holds-always"`},
		"unknown statement": {Selection{Statements: []string{"CLU-12"}}, `nearest is "CLU-13"`},
		"unknown profile":   {Selection{Profile: "cors"}, `nearest is "core"`},
		"bad expression":    {Selection{Name: "("}, "name"},
		"unknown name":      {Selection{Name: "zzzz"}, `no scenario's name matches "zzzz"`},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			_, err := Select(features(t, outlined), rule.selection)
			var mistake *UsageError
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), rule.want) {
				t.Errorf("got %v, want %q", err, rule.want)
			}
		})
	}
}

func TestStatementsAndTagsAgree(t *testing.T) {
	fsys := os.DirFS("..")
	scenarios, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := Statements(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range Covered(statements, scenarios) {
		t.Error(wrong)
	}
	if len(scenarios) < 30 || len(statements) < 100 {
		t.Errorf("%d scenarios and %d statements; something is not read", len(scenarios), len(statements))
	}
}

func TestStatementsAndTagsThatDisagree(t *testing.T) {
	scenarios := []Scenario{{ID: "f/a", URI: "f", Line: 1, Level: "must", Statements: []string{"CLU-1", "CLU-9"}}, {ID: "f/b", URI: "f", Line: 2}}
	statements := []Statement{
		{ID: "CLU-1", Text: "x", Source: "S0", Level: "must", NotTestedBecause: "later"},
		{ID: "CLU-2", Text: "x", Source: "S0", Level: "must"},
		{ID: "CLU-3", Text: "x", Source: "S0", Level: "most", NotTestedBecause: "later"},
	}
	want := []string{"CLU-3 owes", "f/a carries CLU-9, which", "f/b has no level", "f/b carries no statement", "CLU-1 is said not to be tested", "CLU-2 has neither"}
	got := errors.Join(Covered(statements, scenarios)...).Error()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%q is missing in:\n%s", w, got)
		}
	}
	if n := len(strings.Split(got, "\n")); n != len(want) {
		t.Errorf("%d complaints instead of %d:\n%s", n, len(want), got)
	}
}

func TestEveryPhraseOfTheFeaturesIsKnown(t *testing.T) {
	scenarios, err := Load(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	if err := Spoken(scenarios, steps.Phrases()); err != nil {
		t.Error(err)
	}
}

// A kill counts where a scenario states its guarantee, not where it prepares for it.
func TestWhatASentenceIsFor(t *testing.T) {
	s := features(t, "Feature: x\n  Background:\n    Given a\n  Scenario: y\n    Given b\n    And c\n    When d\n    And e\n    Then f\n    And g\n")[0]
	for sentence, prepares := range map[string]bool{"a": true, "b": true, "c": true, "d": false, "e": false, "f": false, "g": false, "": false} {
		if s.prepares(sentence) != prepares {
			t.Errorf("%q prepares: %t, want %t", sentence, !prepares, prepares)
		}
	}
}

// What a target's file says of scenarios must be about scenarios that exist.
func TestTheReferenceFileNamesWhatExists(t *testing.T) {
	scenarios, err := Load(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("../fixtures/targets/reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := target.Load("reference.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ref.Defects {
		if err := knownIDs(scenarios, d.Scenarios); err != nil || len(d.Scenarios) == 0 {
			t.Errorf("defect %s: %d scenarios, %v", d.Name, len(d.Scenarios), err)
		}
	}
	for _, e := range ref.Expectations {
		if err := knownIDs(scenarios, []string{e.Scenario}); err != nil {
			t.Errorf("expectation: %v", err)
		}
	}
	for _, s := range scenarios {
		if why := lacking(s, ref); why != "" {
			t.Errorf("%s: %s", s.ID, why)
		}
	}
}

func TestSettingsThatCannotBeSet(t *testing.T) {
	ref := &target.Target{Name: "t", Settings: map[string]target.Setting{"f": {Unit: "s"}, "p": {Unit: "s", Fixed: "3"}}}
	all := features(t, "Feature: x\n  Scenario: y\n    Given f is 2 s\n")
	rules := map[string]map[string]string{
		`nearest is "f"`:                        {"ff": "1"},
		"want a number":                         {"f": "x"},
		`the target fixes it at "3"`:            {"p": "1"},
		"some_thing.feature:3 states it itself": {"f": "1"},
	}
	for want, set := range rules {
		err := settable(ref, all, set)
		var mistake *UsageError
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v gave %v, want %q", set, err, want)
		}
	}
	if err := settable(ref, all, map[string]string{"p": "3"}); err != nil {
		t.Errorf("a setting that nobody states gave %v", err)
	}
}
