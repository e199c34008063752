package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/steps"
	"tidemark/suite"
	"tidemark/target"
	"tidemark/toxics"
)

// A listing is a table for people, and an object a row for machines.
type listing struct {
	rows    [][]string
	objects []map[string]any
}

func (l *listing) add(object map[string]any, cells ...string) {
	l.rows, l.objects = append(l.rows, cells), append(l.objects, object)
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
		if l.objects == nil {
			l.objects = []map[string]any{}
		}
		return a.json(l.objects)
	}
	for _, line := range table(l.rows) {
		fmt.Fprintln(a.out, line)
	}
	return nil
}

// A column takes at most so much: what is longer is cut, but a name (the first column) never is.
const (
	widestName = 72
	widestCell = 60
)

// table lines the rows up. What is cut is whole in -o json.
func table(rows [][]string) (lines []string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widest := widestCell
			if i == 0 {
				widest = widestName
			}
			widths[i] = max(widths[i], min(len([]rune(cell)), widest))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			if letters := []rune(cell); i > 0 && len(letters) > widestCell {
				cell = string(letters[:widestCell-1]) + "…"
			}
			line += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

// plural counts things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (a *app) listScenarios() (l listing, err error) {
	scenarios, err := suite.Load(a.content)
	for _, s := range scenarios {
		l.add(scenarioFields(s), s.ID, s.Name, strings.Join(s.Tags(), " "), fmt.Sprintf("%s:%d", s.URI, s.Line))
	}
	return l, err
}

func (a *app) listStatements() (l listing, err error) {
	statements, err := suite.Statements(a.content)
	if err != nil {
		return listing{}, err
	}
	scenarios, err := suite.Load(a.content)
	for _, s := range statements {
		of := carrying(scenarios, s.ID)
		tested := plural(len(of), "scenario")
		if len(of) == 0 {
			tested = "not tested: " + s.NotTestedBecause
		}
		l.add(map[string]any{
			"id": s.ID, "level": s.Level, "source": s.Source, "text": s.Text, "scenarios": of, "not_tested_because": s.NotTestedBecause,
		}, s.ID, s.Level, s.Text, s.Source, tested)
	}
	return l, err
}

func (a *app) listCapabilities(f runFlags) (l listing, err error) {
	t, err := a.loadTarget(f.target)
	if err != nil {
		return listing{}, err
	}
	scenarios, err := suite.Load(a.content)
	texts := target.Capabilities()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		claimed, of := slices.Contains(t.Claims, name), needing(scenarios, name)
		l.add(
			map[string]any{"name": name, "text": texts[name], "claimed": claimed, "scenarios": of},
			name, "claimed "+claim(claimed, t), plural(len(of), "scenario"), texts[name],
		)
	}
	return l, err
}

func listFaults() (l listing) {
	for _, f := range toxics.Faults() {
		text := oneLine(f.Explain)
		l.add(map[string]any{"name": f.Name, "wire": f.Wire, "text": text}, f.Name, string(f.Wire), text)
	}
	return l
}

func listPhrases() (l listing) {
	for _, p := range steps.Phrases() {
		l.add(map[string]any{"example": p.Example, "text": oneLine(p.Doc), "expression": p.Expression}, p.Example, oneLine(p.Doc), p.Expression)
	}
	return l
}

func (a *app) listDefects(ctx context.Context, f runFlags) (l listing, err error) {
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
	for _, d := range all {
		l.add(
			map[string]any{"name": d.Name, "breaks": d.Breaks, "scenarios": listOf(d.Scenarios)},
			d.Name, "noticed by "+plural(len(d.Scenarios), "scenario"), d.Breaks,
		)
	}
	return l, nil
}

func (a *app) listTargets() (l listing, err error) {
	for _, name := range a.targetNames() {
		t, err := a.loadTarget(name)
		if err != nil {
			return l, err
		}
		l.add(map[string]any{"name": name, "version": t.Version, "claims": listOf(t.Claims)}, name, t.Version, strings.Join(t.Claims, " "))
	}
	return l, nil
}

func listProfiles() (l listing) {
	profiles := suite.Profiles()
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		l.add(map[string]any{"name": name, "tags": profiles[name]}, name, profiles[name])
	}
	return l
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
