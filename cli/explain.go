package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/suite"
	"tidemark/target"
	"tidemark/toxics"
)

// An entry explains one thing: in lines for a person, in fields for a machine.
type entry struct {
	lines  []string
	fields map[string]any
}

// A chapter is a kind of things that can be explained. It looks one up by name, nil where it has none,
// and lists the names that it has.
type chapter struct {
	kind  string
	names []string
	look  func(name string) *entry
}

const explained = "statement, scenario, verdict, fault, defect, profile, capability or bound"

func (a *app) explainCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use: "explain NAME", Short: "Explain one " + explained, Args: oneArgument("name of a " + explained),
		RunE: func(c *cobra.Command, args []string) error {
			found, err := a.explain(c.Context(), args[0], f)
			if err != nil {
				return err
			}
			if f.format == "json" {
				return a.json(merge(found))
			}
			for i, e := range found {
				if i > 0 {
					fmt.Fprintln(a.out)
				}
				fmt.Fprintln(a.out, strings.Join(e.lines, "\n"))
			}
			return nil
		},
	}
	c.Flags().StringVar(&f.target, "target", "reference", "name of a target, or its `FILE`")
	c.Flags().StringVar(&f.gateway, "gateway", "", "this `PROGRAM` in place of the target's own")
	output(c, &f.format)
	return c
}

// merge makes one object of the entries: the first, with the others under also.
func merge(found []*entry) map[string]any {
	first := found[0].fields
	var also []map[string]any
	for _, e := range found[1:] {
		also = append(also, e.fields)
	}
	if also != nil {
		first["also"] = also
	}
	return first
}

// explain looks the name up in all chapters: replica is a profile and a capability.
func (a *app) explain(ctx context.Context, name string, f runFlags) ([]*entry, error) {
	t, err := a.loadTarget(f.target)
	if err != nil {
		return nil, err
	}
	scenarios, err := suite.Load(a.content)
	if err != nil {
		return nil, err
	}
	statements, err := suite.Statements(a.content)
	if err != nil {
		return nil, err
	}
	var names []string
	var found []*entry
	for _, c := range []chapter{
		statementChapter(statements, scenarios), scenarioChapter(scenarios), verdictChapter(), faultChapter(),
		profileChapter(), capabilityChapter(t, scenarios), boundChapter(t), defectChapter(ctx, t, f.gateway),
	} {
		names = append(names, c.names...)
		if e := c.look(name); e != nil {
			e.fields["kind"], e.fields["name"] = c.kind, name
			found = append(found, e)
		}
	}
	if found == nil {
		return nil, usageError("nothing is called %q%s", name, target.Near(name, names))
	}
	return found, nil
}

func statementChapter(statements []suite.Statement, scenarios []suite.Scenario) chapter {
	c := chapter{kind: "statement"}
	for _, s := range statements {
		c.names = append(c.names, s.ID)
	}
	c.look = func(name string) *entry {
		i := slices.Index(c.names, name)
		if i < 0 {
			return nil
		}
		s := statements[i]
		of := carrying(scenarios, s.ID)
		lines := []string{s.ID + "  " + s.Text, "level      " + s.Level + ": " + levels()[s.Level], "source     " + s.Source}
		if s.NotTestedBecause != "" {
			lines = append(lines, "not tested "+s.NotTestedBecause)
		}
		for _, id := range of {
			lines = append(lines, "scenario   "+id)
		}
		return &entry{
			append(lines, "verdict    the worst of its scenarios: fail > unknown > unexpected-pass > setup-error > expected-fail > pass > unsupported > not-run"),
			map[string]any{"text": s.Text, "level": s.Level, "source": s.Source, "scenarios": of, "not_tested_because": s.NotTestedBecause},
		}
	}
	return c
}

// where lists the scenarios of which holds.
func where(scenarios []suite.Scenario, holds func(suite.Scenario) bool) []string {
	ids := []string{}
	for _, s := range scenarios {
		if holds(s) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// carrying lists the scenarios that carry the statement.
func carrying(scenarios []suite.Scenario, statement string) []string {
	return where(scenarios, func(s suite.Scenario) bool { return slices.Contains(s.Statements, statement) })
}

// needing lists the scenarios that need the capability.
func needing(scenarios []suite.Scenario, capability string) []string {
	return where(scenarios, func(s suite.Scenario) bool { return slices.Contains(s.Capabilities, capability) })
}

func levels() map[string]string {
	return map[string]string{
		"must":   "the documents say it",
		"should": "the reference that the documents link to says it",
		"beyond": "no document promises it, but users were bitten",
	}
}

func scenarioChapter(scenarios []suite.Scenario) chapter {
	c := chapter{kind: "scenario"}
	for _, s := range scenarios {
		c.names = append(c.names, s.ID)
	}
	c.look = func(name string) *entry {
		i := slices.IndexFunc(scenarios, func(s suite.Scenario) bool {
			outline, _, _ := strings.Cut(s.ID, "#") // of an outline, its first row is shown
			return s.ID == name || outline == name
		})
		if i < 0 {
			return nil
		}
		s := scenarios[i]
		lines := []string{s.ID, s.Feature, "", "  " + s.Name}
		var sentences []string
		for _, step := range s.Steps {
			sentences = append(sentences, step.Keyword+" "+step.Text)
			lines = append(lines, "    "+step.Keyword+" "+step.Text)
		}
		fields := scenarioFields(s)
		fields["steps"] = sentences
		return &entry{
			append(lines, "", "tags       "+strings.Join(s.Tags(), " "), fmt.Sprintf("at         %s:%d", s.URI, s.Line), "run        tidemark run --scenario '"+s.ID+"'"),
			fields,
		}
	}
	return c
}

func scenarioFields(s suite.Scenario) map[string]any {
	return map[string]any{
		"id": s.ID, "title": s.Name, "feature": s.Feature, "level": s.Level, "statements": listOf(s.Statements),
		"capabilities": listOf(s.Capabilities), "tags": s.Tags(), "uri": s.URI, "line": s.Line,
	}
}

// listOf is never null in JSON.
func listOf(all []string) []string {
	if all == nil {
		return []string{}
	}
	return all
}

// glossary is a chapter of names with one text each.
func glossary(kind string, texts map[string]string) chapter {
	return chapter{kind: kind, names: slices.Sorted(maps.Keys(texts)), look: func(name string) *entry {
		if texts[name] == "" {
			return nil
		}
		return &entry{[]string{name, texts[name]}, map[string]any{"text": texts[name]}}
	}}
}

func verdictChapter() chapter {
	return glossary("verdict", map[string]string{
		"pass":            "The guarantee held, and every fault in the scenario was witnessed.",
		"fail":            "The guarantee broke: what was seen proves it. The run ends with 1.",
		"unknown":         "Nothing can be said: a fault took no effect, the load was not reached, a canary died, or the harness ran late. The run ends with 2.",
		"unsupported":     "The target does not claim what the scenario needs, or fixes a setting otherwise.",
		"expected-fail":   "The target's file lists the scenario as failing, with a reason and a link.",
		"unexpected-pass": "Listed as failing, but it passed: the list is stale. The run ends with 1.",
		"setup-error":     "The target could not be brought up. The run ends with 2.",
		"not-run":         "Not selected, or the run was stopped before its turn.",
	})
}

func faultChapter() chapter {
	c := chapter{kind: "fault"}
	for _, f := range toxics.Faults() {
		c.names = append(c.names, f.Name)
	}
	c.look = func(name string) *entry {
		i := slices.Index(c.names, name)
		if i < 0 {
			return nil
		}
		f := toxics.Faults()[i]
		return &entry{
			[]string{f.Name, "wire       " + string(f.Wire), oneLine(f.Explain), "A scenario with it counts only where a witness saw that the fault took hold; else its verdict is unknown."},
			map[string]any{"wire": f.Wire, "text": oneLine(f.Explain)},
		}
	}
	return c
}

func profileChapter() chapter {
	profiles := suite.Profiles()
	c := chapter{kind: "profile", names: append(slices.Sorted(maps.Keys(profiles)), "profile", "profiles")}
	c.look = func(name string) *entry {
		if name == "profile" || name == "profiles" {
			var lines []string
			for _, p := range slices.Sorted(maps.Keys(profiles)) {
				lines = append(lines, fmt.Sprintf("%-10s %s", p, profiles[p]))
			}
			return &entry{lines, map[string]any{"profiles": profiles}}
		}
		if profiles[name] == "" {
			return nil
		}
		return &entry{
			[]string{name + "  (profile)", "tags       " + profiles[name], "run        tidemark run --profile " + name},
			map[string]any{"tags": profiles[name]},
		}
	}
	return c
}

func capabilityChapter(t *target.Target, scenarios []suite.Scenario) chapter {
	texts := target.Capabilities()
	return chapter{kind: "capability", names: slices.Sorted(maps.Keys(texts)), look: func(name string) *entry {
		if texts[name] == "" {
			return nil
		}
		claimed := slices.Contains(t.Claims, name)
		of := needing(scenarios, name)
		return &entry{
			[]string{
				name + "  (capability)", texts[name], "claimed    " + claim(claimed, t), "needed by  " + plural(len(of), "scenario"),
				"list       tidemark run --tags @" + name + " runs them; a target that does not claim it leaves them unsupported",
			},
			map[string]any{"text": texts[name], "claimed": claimed, "scenarios": of},
		}
	}}
}

func claim(claimed bool, t *target.Target) string {
	if claimed {
		return "by " + t.Name
	}
	return "not by " + t.Name
}

// boundChapter explains the named durations, with the values that the target's suite settings give.
func boundChapter(t *target.Target) chapter {
	texts := map[string]string{
		"propagation": "How long a change may take on a node that did not make it.",
		"tight":       "The same, counted from the node's next poll, or from the write plus the propagation delay where that is later.",
		"query":       "How long a node may wait for the database before it gives up.",
		"heal":        "How long a change may take once a node's database is back.",
		"settle":      "For how long what was seen must stay seen.",
		"immediate":   "How long a change may take on the node that made it; 0: the very next request.",
		"slack":       "What machines need, and part of the other bounds.",
		"poll":        "The interval between two polls of a node.",
	}
	c := glossary("bound", texts)
	c.look = func(name string) *entry {
		s, err := t.Resolve()
		for _, b := range t.Bounds(s, 0).Named() {
			if b.Name == name && err == nil {
				return &entry{
					[]string{
						name + "  (bound)", texts[name], "formula    " + b.Formula, fmt.Sprintf("value      %s with the suite's settings for %s; a scenario or --set may change them", b.Duration, t.Name),
						"           F poll interval, P propagation delay, W rebuild interval (0 when strict), R the replica's lag",
					},
					map[string]any{"text": texts[name], "formula": b.Formula, "ms": b.Duration.Milliseconds()},
				}
			}
		}
		return nil
	}
	return c
}

func defectChapter(ctx context.Context, t *target.Target, gateway string) chapter {
	path, err := program(t, gateway)
	all := []defect{}
	if err == nil {
		all, err = defects(ctx, t, path)
	}
	if err != nil { // a name may still be one that the file knows
		all = nil
		for _, d := range t.Defects {
			all = append(all, defect{Name: d.Name, Breaks: "(the gateway could not be asked)", Scenarios: d.Scenarios})
		}
	}
	c := chapter{kind: "defect"}
	for _, d := range all {
		c.names = append(c.names, d.Name)
	}
	c.look = func(name string) *entry {
		i := slices.Index(c.names, name)
		if i < 0 {
			return nil
		}
		d := all[i]
		lines := []string{d.Name, "breaks     " + d.Breaks}
		for _, id := range d.Scenarios {
			lines = append(lines, "noticed by "+id)
		}
		return &entry{
			append(lines, "see it     tidemark run --defect "+d.Name, "prove it   tidemark prove --defect "+d.Name),
			map[string]any{"breaks": d.Breaks, "scenarios": listOf(d.Scenarios)},
		}
	}
	return c
}
