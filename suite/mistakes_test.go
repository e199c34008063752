package suite

import (
	"errors"
	"os"
	"strings"
	"testing"

	"tidemark/steps"
	"tidemark/target"
)

const mistagged = `@must @multi-nod
Feature: x

  @CLU-1 @CLU-99 @alone @long
  Scenario: y
    Given nothing that is known

  @CLU-1
  Scenario Outline: <z>
    Given nothing else
    @sgl
    Examples:
      | z |
      | 1 |
      | 2 |
`

func TestEveryWrongTagAndPhraseIsTold(t *testing.T) {
	all := features(t, mistagged)
	rules := map[string]struct {
		err  error
		want []string
	}{
		"tags": {Tagged(all, []Statement{{ID: "CLU-1"}, {ID: "CLU-98"}}), []string{
			`features/some_thing.feature:1: unknown tag @multi-nod; nearest is "multi-node"`,
			`features/some_thing.feature:4: features/requirements.yaml does not list the statement @CLU-99; nearest is "CLU-98"`,
			`features/some_thing.feature:11: unknown tag @sgl; nearest is "sql"`,
		}},
		"phrases": {Spoken(all, []steps.Phrase{{Expression: "a", Example: "a"}}), []string{
			`features/some_thing.feature:6: unknown phrase "nothing that is known"`, `features/some_thing.feature:10: unknown phrase "nothing else"`,
		}},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			var mistake *FeatureError
			if !errors.As(rule.err, &mistake) || strings.Count(rule.err.Error(), "\n") != len(rule.want)-1 {
				t.Fatalf("got %v, want %d lines", rule.err, len(rule.want))
			}
			for _, want := range rule.want {
				if !strings.Contains(rule.err.Error(), want) {
					t.Errorf("%q is missing in:\n%v", want, rule.err)
				}
			}
		})
	}
}

func TestTheTagsOfTheFeaturesAreKnown(t *testing.T) {
	scenarios, err := Load(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	statements, err := Statements(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	if err := Tagged(scenarios, statements); err != nil {
		t.Error(err)
	}
}

func TestATargetNamesScenariosThatExist(t *testing.T) {
	all := features(t, outlined)
	rules := map[string]string{
		"defects:\n- name: d\n  scenarios:\n  - some_thing/it-holds-always\n  - some_thing/it-holds-alway\n":                     `x.yaml:6: defect d: unknown scenario "some_thing/it-holds-alway"; nearest is "some_thing/it-holds-always"`,
		"expectations:\n- verdict: fail\n  reason: r\n  link: l\n  scenario: some_thing/change-is-seen-by-who-in-time#a-pitch\n": `x.yaml:6: expectation: unknown scenario`,
		"defects:\n- name: d\n  scenarios: [some_thing/change-is-seen-by-who-in-time]\n":                                         "",
	}
	for text, want := range rules {
		on, err := target.Load("x.yaml", []byte("name: x\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		err = Listed(on, all)
		var mistake *target.Error
		if want == "" && err == nil {
			continue
		}
		if !errors.As(err, &mistake) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q gave %v, want %q", text, err, want)
		}
	}
}

func TestASelectionThatCanBeSetIsNamed(t *testing.T) {
	all := features(t, "Feature: x\n  @CLU-1 @CLU-2\n  Scenario: y\n    Given f is 2 s\n  @CLU-1 @CLU-3\n  Scenario: z\n    Given nothing\n")
	on := &target.Target{Settings: map[string]target.Setting{"f": {Unit: "s"}}}
	err := settable(on, all, map[string]string{"f": "1"})
	if err == nil || !strings.HasSuffix(err.Error(), "select other scenarios, as with --statement CLU-3") {
		t.Errorf("got %v", err)
	}
}
