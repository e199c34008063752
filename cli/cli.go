// Package cli is the door: the commands of tidemark. They read flags, call the room that decides, and
// print what it says.
//
// What a script may hold on to: the exit codes, the names of commands and flags, and what -o json
// prints on stdout. Everything else on stdout and stderr is for people. There is a file a command; its
// length is flags and words.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidemark/report"
	"tidemark/suite"
	"tidemark/target"
)

const exitCodes = `Exit codes (the first that applies of 70, 130, 1, 2, 0):
  0    every scenario that ran held
  1    a guarantee is broken, or a scenario that is listed as failing passed
  2    something could not be judged or brought up, or nothing passed
  64   usage: an unknown flag, tag, name or key, or nothing selected
  70   the suite itself broke
  130  stopped before the end`

const variables = `Environment:
  TIDEMARK_<FLAG>   a flag of the command, where it is not given: TIDEMARK_CELLS=8, TIDEMARK_NO_COLOR=true
  TIDEMARK_PG_BIN   the folder with PostgreSQL's server programs
  NO_COLOR          no colors, where it is not empty`

// An app is what all commands share.
type app struct {
	content fs.FS
	out     io.Writer
	err     io.Writer
	exit    int
}

// Run runs one command and returns its exit code. When ctx ends, what was started is cleaned up first.
func Run(ctx context.Context, args []string, content fs.FS, stdout, stderr io.Writer) int {
	a := &app{content: content, out: stdout, err: stderr}
	root := a.root()
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "tidemark: %v\n", err)
		return exitOf(ctx, err)
	}
	return a.exit
}

func exitOf(ctx context.Context, err error) int {
	var (
		usage   *suite.UsageError
		feature *suite.FeatureError
		file    *target.Error
	)
	switch {
	case errors.As(err, &usage), errors.As(err, &feature), errors.As(err, &file):
		return suite.ExitUsage
	case ctx.Err() != nil:
		return suite.ExitStopped
	}
	return suite.ExitHarness
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tidemark",
		Short: "Judge whether the nodes of a clustered gateway keep what the documents promise",
		Long:  "Judge whether the nodes of a clustered gateway keep what the documents promise.\n\n" + exitCodes + "\n\n" + variables,
		Args:  a.noSuchCommand, RunE: func(c *cobra.Command, _ []string) error {
			if asked, err := c.Flags().GetBool("version"); err == nil && asked {
				return a.version("text")
			}
			return c.Help()
		},
		SilenceErrors: true, SilenceUsage: true, DisableSuggestions: true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			for _, warning := range unknownVariables(os.Environ(), c.Root()) {
				fmt.Fprintf(a.err, "tidemark: %s\n", warning)
			}
			return fromEnvironment(c.Flags())
		},
	}
	root.Flags().Bool("version", false, "as the command version")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.runCommand(), a.listCommand(), a.explainCommand(), a.proveCommand(), a.doctorCommand(), a.versionCommand())
	return root
}

func usageError(format string, args ...any) error {
	return &suite.UsageError{Message: fmt.Sprintf(format, args...)}
}

func (a *app) noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	return usageError("unknown command %q%s", args[0], target.Near(args[0], names))
}

// noArguments and oneArgument are cobra's, but a mistake is a usage error.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no argument such as %q", c.Name(), args[0])
	}
	return nil
}

func oneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError("%s takes one %s; it got %d", c.Name(), what, len(args))
		}
		return nil
	}
}

// flagError turns pflag's error into a usage error that names the nearest flag.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError("%s: %v", c.Name(), err)
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	name := unknown.GetSpecifiedName()
	hint := ""
	if nearest := target.Nearest(name, names); nearest != "" {
		hint = "; nearest is --" + nearest
	}
	return usageError("%s: unknown flag --%s%s", c.Name(), name, hint)
}

// variable is the environment's name for a flag.
func variable(flag string) string {
	return "TIDEMARK_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// notFromEnvironment lists the flags that are asked for by hand.
func notFromEnvironment(flag string) bool { return flag == "help" || flag == "version" }

// fromEnvironment sets each flag that was not given from TIDEMARK_<NAME>.
func fromEnvironment(flags *pflag.FlagSet) (wrong error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		value, found := os.LookupEnv(name)
		if !found || f.Changed || notFromEnvironment(f.Name) {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			wrong = errors.Join(wrong, usageError("%s=%s: %v", name, value, err))
		}
	})
	return wrong
}

// unknownVariables warns of each TIDEMARK_ variable that no command hears.
func unknownVariables(environ []string, root *cobra.Command) (warnings []string) {
	known := []string{"TIDEMARK_PG_BIN", "TIDEMARK_TEST_GATEWAY"}
	for _, c := range root.Commands() {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !notFromEnvironment(f.Name) {
				known = append(known, variable(f.Name))
			}
		})
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "TIDEMARK_") && !slices.Contains(known, name) {
			warnings = append(warnings, fmt.Sprintf("unknown variable %s is ignored%s", name, target.Near(name, known)))
		}
	}
	return warnings
}

// output adds -o to a command that a machine may read.
func output(c *cobra.Command, format *string) {
	c.Flags().StringVarP(format, "output", "o", "text", "text or json")
	c.PreRunE = func(*cobra.Command, []string) error {
		if *format != "text" && *format != "json" {
			return usageError("unknown output %q%s", *format, target.Near(*format, []string{"text", "json"}))
		}
		return nil
	}
}

func (a *app) json(value any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// commit is set by the linker, where the one who builds knows it.
var commit string

// version is that of the source that this program was built from.
func version() string {
	if commit != "" {
		return commit
	}
	info, found := debug.ReadBuildInfo()
	if !found {
		return "unknown"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if revision == "" {
		return "devel"
	}
	return revision + dirty
}

func (a *app) versionCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "version", Short: "Print the versions of suite and Go and the digest of the features", Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.version(format) },
	}
	output(c, &format)
	return c
}

func (a *app) version(format string) error {
	digest, err := suite.Digest(a.content)
	if err != nil {
		return err
	}
	info, _ := debug.ReadBuildInfo()
	v := struct {
		Suite          string `json:"suite"`
		FeaturesDigest string `json:"features_digest"`
		Go             string `json:"go"`
		Results        string `json:"results"`
	}{version(), digest, info.GoVersion, report.SchemaName}
	if format == "json" {
		return a.json(v)
	}
	fmt.Fprintf(a.out, "tidemark %s\nfeatures %s\ngo       %s\nresults  %s\n", v.Suite, v.FeaturesDigest, v.Go, v.Results)
	return nil
}
