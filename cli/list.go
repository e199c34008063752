package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidemark/steps"
	"tidemark/suite"
	"tidemark/target"
	"tidemark/toxics"
)

// A listing is a table that -o json prints as objects.
type listing struct {
	header []string
	rows   [][]string
}

func (a *app) listCommand() *cobra.Command {
	var f runFlags
	kinds := []string{"scenarios", "statements", "capabilities", "faults", "phrases", "defects", "targets", "profiles"}
	c := &cobra.Command{
		Use: "list KIND", Short: "List " + strings.Join(kinds, ", "), Args: oneArgument("kind: " + strings.Join(kinds, ", ")), ValidArgs: kinds,
		RunE: func(c *cobra.Command, args []string) error {
			list, err := a.list(c.Context(), args[0], kinds, f)
			if err != nil {
				return err
			}
			return a.printList(list, f.format)
		},
	}
	c.Flags().StringVar(&f.target, "target", "reference", "name of a target, or its `FILE`")
	c.Flags().StringVar(&f.gateway, "gateway", "", "this `PROGRAM` in place of the target's own")
	output(c, &f.format)
	return c
}

func (a *app) list(ctx context.Context, kind string, kinds []string, f runFlags) (listing, error) {
	switch kind {
	case "scenarios":
		return a.listScenarios()
	case "statements":
		return a.listStatements()
	case "capabilities":
		return a.listCapabilities(f)
	case "faults":
		return listFaults(), nil
	case "phrases":
		return listPhrases(), nil
	case "defects":
		return a.listDefects(ctx, f)
	case "targets":
		return a.listTargets()
	case "profiles":
		return listProfiles(), nil
	}
	return listing{}, usageError("unknown kind %q%s", kind, target.Near(kind, kinds))
}

func (a *app) printList(l listing, format string) error {
	if format == "json" {
		objects := []map[string]string{}
		for _, row := range l.rows {
			object := map[string]string{}
			for i, name := range l.header {
				object[name] = row[i]
			}
			objects = append(objects, object)
		}
		return a.json(objects)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, row := range l.rows {
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t "))
	}
	return w.Flush()
}

func (a *app) listScenarios() (listing, error) {
	scenarios, err := suite.Load(a.content)
	l := listing{header: []string{"id", "name", "tags", "at"}}
	for _, s := range scenarios {
		l.rows = append(l.rows, []string{s.ID, s.Name, strings.Join(s.Tags(), " "), fmt.Sprintf("%s:%d", s.URI, s.Line)})
	}
	return l, err
}

func (a *app) listStatements() (listing, error) {
	statements, err := suite.Statements(a.content)
	if err != nil {
		return listing{}, err
	}
	scenarios, err := suite.Load(a.content)
	l := listing{header: []string{"id", "level", "tested", "text", "source"}}
	for _, s := range statements {
		n := 0
		for _, scenario := range scenarios {
			if slices.Contains(scenario.Statements, s.ID) {
				n++
			}
		}
		tested := fmt.Sprintf("%d scenarios", n)
		if n == 0 {
			tested = s.NotTestedBecause
		}
		l.rows = append(l.rows, []string{s.ID, s.Level, tested, s.Text, s.Source})
	}
	return l, err
}

func (a *app) listCapabilities(f runFlags) (listing, error) {
	t, err := a.loadTarget(f.target)
	if err != nil {
		return listing{}, err
	}
	scenarios, err := suite.Load(a.content)
	count := map[string]int{}
	names := slices.Clone(t.Claims)
	for _, s := range scenarios {
		for _, c := range s.Capabilities {
			count[c]++
			names = append(names, c)
		}
	}
	slices.Sort(names)
	l := listing{header: []string{"capability", "claimed", "scenarios"}}
	for _, name := range slices.Compact(names) {
		claimed := "not claimed by " + t.Name
		if slices.Contains(t.Claims, name) {
			claimed = "claimed by " + t.Name
		}
		l.rows = append(l.rows, []string{name, claimed, fmt.Sprintf("%d scenarios", count[name])})
	}
	return l, err
}

func listFaults() listing {
	l := listing{header: []string{"fault", "wire", "explanation"}}
	for _, f := range toxics.Faults() {
		l.rows = append(l.rows, []string{f.Name, string(f.Wire), oneLine(f.Explain)})
	}
	return l
}

func listPhrases() listing {
	l := listing{header: []string{"phrase", "means", "expression"}}
	for _, p := range steps.Phrases() {
		l.rows = append(l.rows, []string{p.Example, oneLine(p.Doc), p.Expression})
	}
	return l
}

func (a *app) listDefects(ctx context.Context, f runFlags) (listing, error) {
	t, err := a.loadTarget(f.target)
	if err != nil {
		return listing{}, err
	}
	all := []defect{}
	path, err := program(t, f.gateway)
	if err == nil {
		all, err = defects(ctx, t, path)
	}
	if err != nil {
		return listing{}, err
	}
	l := listing{header: []string{"defect", "breaks", "scenarios"}}
	for _, d := range all {
		l.rows = append(l.rows, []string{d.Name, d.Breaks, fmt.Sprintf("%d scenarios must notice", len(d.Scenarios))})
	}
	return l, nil
}

func (a *app) listTargets() (listing, error) {
	l := listing{header: []string{"target", "version", "claims"}}
	for _, name := range a.targetNames() {
		t, err := a.loadTarget(name)
		if err != nil {
			return l, err
		}
		l.rows = append(l.rows, []string{name, t.Version, strings.Join(t.Claims, " ")})
	}
	return l, nil
}

func listProfiles() listing {
	l := listing{header: []string{"profile", "tags"}}
	for name, tags := range suite.Profiles() {
		l.rows = append(l.rows, []string{name, tags})
	}
	slices.SortFunc(l.rows, func(x, y []string) int { return strings.Compare(x[0], y[0]) })
	return l
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
