package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/suite"
	"tidemark/target"
	"tidemark/toxics"
)

func (a *app) explainCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use: "explain NAME", Short: "Explain one statement, scenario, verdict, fault, defect or profile",
		Args: oneArgument("name of a statement, scenario, verdict, fault, defect or profile"),
		RunE: func(c *cobra.Command, args []string) error {
			lines, err := a.explain(c.Context(), args[0], f)
			if err != nil {
				return err
			}
			if f.format == "json" {
				return a.json(map[string]any{"name": args[0], "lines": lines})
			}
			fmt.Fprintln(a.out, strings.Join(lines, "\n"))
			return nil
		},
	}
	c.Flags().StringVar(&f.target, "target", "reference", "name of a target, or its `FILE`")
	c.Flags().StringVar(&f.gateway, "gateway", "", "this `PROGRAM` in place of the target's own")
	output(c, &f.format)
	return c
}

// explain looks the name up in one kind after the other.
func (a *app) explain(ctx context.Context, name string, f runFlags) ([]string, error) {
	var names []string
	for _, look := range []func(string) ([]string, []string, error){
		a.explainStatement, a.explainScenario, explainVerdict, explainFault, explainProfile,
		func(name string) ([]string, []string, error) { return a.explainDefect(ctx, name, f) },
	} {
		lines, known, err := look(name)
		if err != nil || lines != nil {
			return lines, err
		}
		names = append(names, known...)
	}
	return nil, usageError("nothing is called %q%s", name, target.Near(name, names))
}

func (a *app) explainStatement(name string) (lines, known []string, err error) {
	statements, err := suite.Statements(a.content)
	if err != nil {
		return nil, nil, err
	}
	scenarios, err := suite.Load(a.content)
	for _, s := range statements {
		known = append(known, s.ID)
		if s.ID != name {
			continue
		}
		lines = []string{s.ID + "  " + s.Text, "level      " + s.Level + ": " + levels()[s.Level], "source     " + s.Source}
		if s.NotTestedBecause != "" {
			lines = append(lines, "not tested "+s.NotTestedBecause)
		}
		for _, scenario := range scenarios {
			if slices.Contains(scenario.Statements, s.ID) {
				lines = append(lines, "scenario   "+scenario.ID)
			}
		}
		return append(lines, "verdict    the worst of its scenarios: fail > unknown > unexpected-pass > setup-error > expected-fail > pass > unsupported > not-run"), nil, err
	}
	return nil, known, err
}

func levels() map[string]string {
	return map[string]string{
		"must":   "the documents say it",
		"should": "the reference that the documents link to says it",
		"beyond": "no document promises it, but users were bitten",
	}
}

func (a *app) explainScenario(name string) (lines, known []string, err error) {
	scenarios, err := suite.Load(a.content)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range scenarios {
		known = append(known, s.ID)
		outline, _, isRow := strings.Cut(s.ID, "#")
		if s.ID != name && (!isRow || outline != name || lines != nil) {
			continue
		}
		lines = []string{s.ID, s.Feature, "", "  " + s.Name}
		for _, step := range s.Steps {
			lines = append(lines, "    "+step.Keyword+" "+step.Text)
		}
		lines = append(lines, "", "tags       "+strings.Join(s.Tags(), " "), fmt.Sprintf("at         %s:%d", s.URI, s.Line), "run        tidemark run --scenario '"+s.ID+"'")
	}
	return lines, known, nil
}

func explainVerdict(name string) (lines, known []string, err error) {
	verdicts := map[string]string{
		"pass":            "The guarantee held, and every fault in the scenario was witnessed.",
		"fail":            "The guarantee broke: what was seen proves it. The run ends with 1.",
		"unknown":         "Nothing can be said: a fault took no effect, the load was not reached, a canary died, or the harness ran late. The run ends with 2.",
		"unsupported":     "The target does not claim what the scenario needs, or fixes a setting otherwise.",
		"expected-fail":   "The target's file lists the scenario as failing, with a reason and a link.",
		"unexpected-pass": "Listed as failing, but it passed: the list is stale. The run ends with 1.",
		"setup-error":     "The target could not be brought up. The run ends with 2.",
		"not-run":         "Not selected, or the run was stopped before its turn.",
	}
	for v, text := range verdicts {
		known = append(known, v)
		if v == name {
			lines = []string{v, text}
		}
	}
	return lines, known, nil
}

func explainFault(name string) (lines, known []string, err error) {
	for _, f := range toxics.Faults() {
		known = append(known, f.Name)
		if f.Name == name {
			lines = []string{f.Name, "wire       " + string(f.Wire), oneLine(f.Explain), "A scenario with it counts only where a witness saw that the fault took hold; else its verdict is unknown."}
		}
	}
	return lines, known, nil
}

func explainProfile(name string) (lines, known []string, err error) {
	for profile, tags := range suite.Profiles() {
		known = append(known, profile)
		if profile == name || name == "profile" || name == "profiles" {
			lines = append(lines, fmt.Sprintf("%-10s %s", profile, tags))
		}
	}
	slices.Sort(lines)
	return lines, known, nil
}

func (a *app) explainDefect(ctx context.Context, name string, f runFlags) (lines, known []string, err error) {
	t, err := a.loadTarget(f.target)
	if err != nil {
		return nil, nil, err
	}
	path, err := program(t, f.gateway)
	all := []defect{}
	if err == nil {
		all, err = defects(ctx, t, path)
	}
	if err != nil { // a name may still be one that the file knows
		for _, d := range t.Defects {
			all = append(all, defect{Name: d.Name, Breaks: "(the gateway could not be asked)", Scenarios: d.Scenarios})
		}
	}
	for _, d := range all {
		known = append(known, d.Name)
		if d.Name == name {
			lines = []string{d.Name, "breaks     " + d.Breaks}
			for _, id := range d.Scenarios {
				lines = append(lines, "noticed by "+id)
			}
			lines = append(lines, "see it     tidemark run --defect "+d.Name, "prove it   tidemark prove --defect "+d.Name)
		}
	}
	return lines, known, nil
}
