package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/report"
	"tidemark/suite"
)

func (a *app) proveCommand() *cobra.Command {
	var f runFlags
	var one bool
	c := &cobra.Command{
		Use: "prove", Short: "Break the reference in each way and see that the scenarios notice", Args: noArguments,
		Long: "Break the reference in each way that the target's file lists, and see that each scenario listed for it turns\n" +
			"red, that none is red on the sound gateway, and that each that passes there is turned red by something.\n\n" + exitCodes,
		RunE: func(c *cobra.Command, _ []string) error { return a.prove(c.Context(), f, one) },
	}
	f.register(c)
	c.Flags().BoolVar(&one, "one-per-defect", false, "only the cheapest scenario of each defect, and nothing on the sound gateway")
	c.Flags().StringSliceVar(&f.defects, "defect", nil, "only the defects of these `NAME`s")
	return c
}

func (a *app) prove(ctx context.Context, f runFlags, one bool) error {
	only := f.defects
	f.defects, f.repeat = nil, 1
	terminal := a.terminal(f)
	options, err := a.options(f, quietly{terminal})
	if err != nil {
		return err
	}
	o := suite.ProveOptions{Options: options, OnePerDefect: one, Only: only}
	known, err := defects(ctx, options.Target, options.Program)
	if err != nil {
		return err
	}
	for _, d := range known {
		o.Known = append(o.Known, d.Name)
	}
	matrix, folder, err := suite.Prove(ctx, o)
	if matrix == nil {
		return err
	}
	a.exit = matrix.Exit
	if err != nil {
		fmt.Fprintf(a.err, "tidemark: %v\n", err)
	}
	if f.format == "json" {
		return a.json(matrix)
	}
	a.printMatrix(matrix, folder)
	return nil
}

// quietly keeps the progress line and drops the lines of scenarios: red is what is wanted here.
type quietly struct{ *report.Terminal }

func (q quietly) Begin(_ *report.Results, total int) { q.Expect(total) }

func (q quietly) Finish(s report.Scenario) {
	s.Verdict, s.Failure, s.Reason = report.Pass, nil, ""
	wasQuiet := q.Quiet
	q.Quiet = true
	q.Terminal.Finish(s)
	q.Quiet = wasQuiet
}

// printMatrix writes a line for each pair, then what is wrong, then one sentence.
func (a *app) printMatrix(m *suite.Matrix, folder string) {
	for _, row := range m.Rows {
		for i, c := range row.Scenarios {
			name := row.Defect
			if i > 0 {
				name = ""
			}
			mark := "killed by"
			switch {
			case c.Early:
				mark = "TOO EARLY"
			case !c.Killed():
				mark = "SURVIVES (" + string(c.Verdict) + ")"
			}
			fmt.Fprintf(a.out, "%-20s %-10s %s\n", name, mark, c.ID)
			if c.Step != "" {
				fmt.Fprintf(a.out, "%-20s %-10s   %s\n", "", "", c.Step)
			}
		}
	}
	if len(m.Problems) > 0 {
		fmt.Fprintln(a.out)
	}
	for _, p := range m.Problems {
		first, _, _ := strings.Cut(p, "\n")
		fmt.Fprintln(a.out, first)
	}
	word := map[int]string{suite.ExitGood: "PROVEN", suite.ExitBroken: "NOT PROVEN", suite.ExitStopped: "STOPPED before the end"}[m.Exit]
	if word == "" {
		word = "BROKEN HARNESS"
	}
	fmt.Fprintf(a.out, "tidemark: %s: %d of %d defects killed, %d problems, %.1f s; exit %d; report in %s\n",
		word, m.Proof.Killed, m.Proof.Defects, len(m.Problems), m.Duration.Duration().Seconds(), m.Exit, folder)
}
