package cli

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/report"
	"tidemark/suite"
)

// runFlags are what run and prove have in common.
type runFlags struct {
	target, driver, gateway, out, format string
	tags, name, profile                  string
	scenarios, statements, set, defects  []string
	cells, repeat                        int
	seed                                 uint64
	shuffle, failFast, keep              bool
	quiet, verbose, noColor              bool
	timeout                              time.Duration
}

func (f *runFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.target, "target", "reference", "name of a target, or its `FILE`")
	flags.StringVar(&f.driver, "driver", "local", "how nodes run: local (processes on this machine)")
	flags.StringVar(&f.gateway, "gateway", "", "this `PROGRAM` in place of the target's own")
	flags.IntVar(&f.cells, "cells", 16, "at most so many scenarios at once, each on a cluster of its own")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of everything that is left to chance (0: a new one)")
	flags.StringVar(&f.out, "out", "runs", "`DIR` in which the run makes its folder")
	flags.DurationVar(&f.timeout, "timeout", 0, "stop the run after this long (0: never)")
	flags.BoolVar(&f.quiet, "quiet", false, "print only what is not good, and the last sentence")
	flags.BoolVar(&f.verbose, "verbose", false, "print faults and propagation of each scenario")
	flags.BoolVar(&f.noColor, "no-color", false, "no colors (also NO_COLOR, and off where stdout is no terminal)")
	output(c, &f.format)
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use: "run", Short: "Run features against a target and judge it", Args: noArguments,
		Long: "Run features against a target and judge it.\n\n" + exitCodes + "\n\n" + variables,
		RunE: func(c *cobra.Command, _ []string) error { return a.run(c.Context(), f) },
	}
	f.register(c)
	flags := c.Flags()
	flags.StringVar(&f.tags, "tags", "", "tag `EXPRESSION`: and, or, not, parentheses, as in '@must and not (@sql or @process)'")
	flags.StringVar(&f.name, "name", "", "`REGEXP` over the scenarios' names")
	flags.StringSliceVar(&f.scenarios, "scenario", nil, "`ID`s of scenarios; without #row, all rows of an outline")
	flags.StringSliceVar(&f.statements, "statement", nil, "`ID`s of statements, CLU-13")
	flags.StringVar(&f.profile, "profile", "", "a named selection (tidemark explain profile)")
	flags.IntVar(&f.repeat, "repeat", 1, "play each scenario so often and give its pass rate")
	flags.BoolVar(&f.shuffle, "shuffle", false, "order by chance instead of the longest first")
	flags.BoolVar(&f.failFast, "fail-fast", false, "start no further scenario after the first that fails")
	flags.StringSliceVar(&f.defects, "defect", nil, "break the reference in this way, by `NAME`")
	flags.StringArrayVar(&f.set, "set", nil, "node setting `KEY=VALUE`; a scenario's own sentences win")
	flags.BoolVar(&f.keep, "keep", false, "leave the cluster of the first failure up until Ctrl-C, and say how to reach it")
	return c
}

func (a *app) run(ctx context.Context, f runFlags) error {
	terminal := a.terminal(f)
	options, err := a.options(f, terminal)
	if err != nil {
		return err
	}
	results, folder, err := suite.Run(ctx, options)
	if results == nil {
		return err
	}
	a.exit = results.Exit
	if err != nil {
		fmt.Fprintf(a.err, "tidemark: %v\n", err)
		a.exit = suite.ExitHarness
	}
	terminal.End(results, nearby(folder))
	if f.format == "json" {
		return a.json(results)
	}
	return nil
}

// nearby is the path as it is shortest to type from here.
func nearby(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(short, "..") {
		return short
	}
	return path
}

// terminal writes for people: on stdout, or on stderr where stdout is for a machine.
func (a *app) terminal(f runFlags) *report.Terminal {
	w := a.out
	if f.format == "json" {
		w = a.err
	}
	live := false
	if file, is := w.(*os.File); is {
		live = report.IsTerminal(file)
	}
	plain := os.Getenv("NO_COLOR") != ""
	return &report.Terminal{W: w, Live: live, Color: live && !plain && !f.noColor, Quiet: f.quiet, Verbose: f.verbose}
}

// options turns flags into what the suite takes.
func (a *app) options(f runFlags, observer suite.Observer) (suite.Options, error) {
	var none suite.Options
	t, err := a.loadTarget(f.target)
	if err != nil {
		return none, err
	}
	if f.driver != "local" {
		return none, usageError("unknown driver %q; this version has local", f.driver)
	}
	if err := f.wrong(); err != nil {
		return none, err
	}
	set, err := settings(f.set)
	if err != nil {
		return none, err
	}
	path, err := program(t, f.gateway)
	if err != nil {
		return none, err
	}
	if f.seed == 0 {
		if f.seed, err = newSeed(); err != nil {
			return none, err
		}
	}
	if err := writable(f.out); err != nil {
		return none, err
	}
	options := suite.Options{
		Content: a.content, Version: version(), Target: t, Program: path,
		Selection: suite.Selection{Tags: f.tags, Name: f.name, IDs: f.scenarios, Statements: f.statements, Profile: f.profile},
		Cells:     f.cells, Seed: f.seed, Repeat: f.repeat, Shuffle: f.shuffle, FailFast: f.failFast, Timeout: f.timeout,
		Defects: f.defects, Set: set, Out: f.out, Observer: observer, Log: logger(a.err, f.verbose),
	}
	if f.keep {
		options.Keep = a.keep
	}
	return options, nil
}

// mostCells is more than any machine has memory and ports for.
const mostCells = 128

// wrong finds values that no run can have.
func (f runFlags) wrong() error {
	switch {
	case f.cells < 1 || f.cells > mostCells:
		return usageError("--cells %d: want at least 1 and at most %d", f.cells, mostCells)
	case f.repeat < 1:
		return usageError("--repeat %d: want at least 1", f.repeat)
	case f.timeout < 0:
		return usageError("--timeout %s: want a time to come, or 0 for none", f.timeout)
	case f.quiet && f.verbose:
		return usageError("--quiet and --verbose contradict each other")
	}
	return nil
}

// writable says whether runs can be made in the folder, before anything is started.
func writable(dir string) error {
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		var probe string
		if probe, err = os.MkdirTemp(dir, ".writable-"); err == nil {
			err = os.Remove(probe)
		}
	}
	if err != nil {
		return usageError("--out %s: %v", dir, err)
	}
	return nil
}

// keep tells where the cluster of a failure is and waits until the run is stopped.
func (a *app) keep(ctx context.Context, k suite.Kept) {
	fmt.Fprintf(a.err, "\nkept: the cluster of %s is up until Ctrl-C\n", k.Scenario)
	for _, address := range k.Addresses {
		fmt.Fprintln(a.err, "  "+address)
	}
	fmt.Fprintf(a.err, "  logs      %s\n", nearby(k.Logs))
	<-ctx.Done()
}

func settings(pairs []string) (map[string]string, error) {
	set := map[string]string{}
	for _, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, usageError("--set %q: want KEY=VALUE", pair)
		}
		set[name] = value
	}
	return set, nil
}

// newSeed is small enough to be typed again.
func newSeed() (uint64, error) {
	var bytes [4]byte
	if _, err := rand.Read(bytes[:]); err != nil {
		return 0, fmt.Errorf("choose a seed: %w", err)
	}
	return uint64(binary.BigEndian.Uint32(bytes[:])) | 1, nil
}

// logger is for what goes on behind the scenarios: warnings, or everything where asked.
func logger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
