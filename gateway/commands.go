package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidemark/gateway/config"
	"tidemark/gateway/store"
)

const (
	version        = "0.1.0"
	migrateTimeout = time.Minute
	healthTimeout  = 5 * time.Second
)

// flags are those that several commands share.
type flags struct {
	file        string
	addressFile string
	defects     []string
	output      format
}

// command is everything that can be typed.
func command() *cobra.Command {
	f := &flags{output: "text"}
	root := &cobra.Command{
		Use:   "gateway",
		Short: "Run one node of the reference gateway",
		Long: `Run one node of the reference gateway.

Every property is set by its environment variable (KONG_PG_HOST, KONG_DB_CACHE_TTL …), which wins
over a line of the file. "gateway config" shows what is in force.

Exit status: 0 good; 1 not ready (health); 64 command line or configuration; 70 all else.`,
		Args: noCommand, SilenceUsage: true, SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error { return runNode(f) },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVarP(&f.file, "conf", "c", "", "read properties from this `file` (kong.conf)")
	root.Flags().StringVar(&f.addressFile, "address-file", "", "write where the node listens into this `file`, as JSON")
	root.Flags().StringArrayVar(&f.defects, "defect", nil, "break the node in this one way (`name`; see gateway defects)")
	root.SetFlagErrorFunc(flagError)
	sub := func(use, short string, run func(w io.Writer, f *flags) error) *cobra.Command {
		c := &cobra.Command{
			Use: use, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.OutOrStdout(), f) },
		}
		root.AddCommand(c)
		return c
	}
	sub("migrate", "Create the schema or bring it up to date", runMigrate)
	jsonable(f, sub("config", "Show what is in force, secrets hidden", showConfig))
	sub("health", "0 when the node answers and is ready, else 1", showHealth).
		Flags().StringVar(&f.addressFile, "address-file", "", "find the node by the `file` that it wrote")
	jsonable(f, sub("defects", "List the ways to break a node on purpose", showDefects))
	sub("version", "Show the version", func(w io.Writer, _ *flags) error {
		_, err := fmt.Fprintf(w, "tidemark reference gateway %s (%s)\n", version, runtime.Version())
		return err
	})
	return root
}

func jsonable(f *flags, cmd *cobra.Command) {
	cmd.Flags().VarP(&f.output, "output", "o", "text or json")
}

// A format is how a command prints: "text" or "json".
type format string

// String is the format's word.
func (f *format) String() string { return string(*f) }

// Type is what the help calls it.
func (f *format) Type() string { return "format" }

// Set takes one of the two words.
func (f *format) Set(v string) error {
	if v != "text" && v != "json" {
		return errors.New("want text or json")
	}
	*f = format(v)
	return nil
}

// noCommand refuses words that are no command, and names the one that was probably meant.
func noCommand(root *cobra.Command, words []string) error {
	if len(words) == 0 {
		return nil
	}
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	return fmt.Errorf("unknown command %q%s", words[0], config.Suggest("", words[0], names))
}

// flagError names the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return fmt.Errorf("%w%s", err, config.Suggest("--", unknown.GetSpecifiedName(), names))
}

// load reads the configuration and prints its warnings. An error is the user's.
func load(f *flags) (config.Config, error) {
	cfg, warnings, err := config.Load(f.file, os.Environ())
	log := newLog(os.Stderr, cfg.Level())
	for _, w := range warnings {
		log.Warn("configuration", "warning", string(w))
	}
	for _, name := range f.defects {
		err = errors.Join(err, cfg.Break(name))
	}
	err = errors.Join(err, checkPlugins(cfg, plugins(cfg, nil, nil)))
	if err != nil {
		return cfg, failure{exitUsage, fmt.Errorf("configuration: %w", err)}
	}
	return cfg, nil
}

func runNode(f *flags) error {
	cfg, err := load(f)
	if err != nil {
		return err
	}
	log := newLog(os.Stderr, cfg.Level())
	for _, name := range f.defects {
		log.Warn("this node is broken on purpose", "defect", name)
	}
	ctx, stop := signals(log)
	defer stop()
	err = run(ctx, cfg, f.addressFile, log)
	if known := (failure{}); err == nil || errors.As(err, &known) {
		return err
	}
	return failure{exitInternal, err}
}

func runMigrate(w io.Writer, f *flags) error {
	cfg, err := load(f)
	if err != nil {
		return err
	}
	done, err := migrate(context.Background(), cfg, newLog(os.Stderr, cfg.Level()))
	if err != nil {
		return failure{exitInternal, err}
	}
	_, err = fmt.Fprintln(w, done)
	return err
}

// migrate creates the schema or brings it up to date; several nodes may do so at once.
func migrate(ctx context.Context, cfg config.Config, log *slog.Logger) (store.Migration, error) {
	ctx, stop := context.WithTimeout(ctx, migrateTimeout)
	defer stop()
	s, err := store.Open(store.Options{
		Primary: cfg.Postgres, NodeID: cfg.NodeID, Catalog: catalog(cfg, plugins(cfg, nil, nil)), Log: log,
	})
	if err != nil {
		return store.Migration{}, err
	}
	defer s.Close()
	return s.Migrate(ctx)
}

func showConfig(w io.Writer, f *flags) error {
	cfg, err := load(f)
	if err != nil {
		return err
	}
	if f.output == "json" {
		all := map[string]any{}
		for _, p := range cfg.Dump() {
			all[p.Name] = p.Value
		}
		return printJSON(w, all)
	}
	for _, p := range cfg.Dump() {
		value := fmt.Sprint(p.Value)
		switch v := p.Value.(type) {
		case nil:
			value = ""
		case bool:
			value = map[bool]string{true: "on", false: "off"}[v]
		case []string:
			value = strings.Join(v, ", ")
		}
		if _, err := fmt.Fprintf(w, "%s = %s\n", p.Name, value); err != nil {
			return err
		}
	}
	return nil
}

func showDefects(w io.Writer, f *flags) error {
	if f.output == "json" {
		return printJSON(w, config.Defects())
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, d := range config.Defects() {
		fmt.Fprintf(table, "%s\t%s\n", d.Name, d.Breaks)
	}
	return table.Flush()
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func showHealth(w io.Writer, f *flags) error {
	url, err := statusURL(f)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), healthTimeout)
	defer stop()
	message, err := askReady(ctx, url)
	if err != nil {
		return failure{exitFailed, err}
	}
	_, err = fmt.Fprintln(w, message)
	return err
}

// statusURL is where the node's status listener is: as the node wrote it, or as configured.
func statusURL(f *flags) (string, error) {
	if f.addressFile != "" {
		var at struct{ Status []string }
		data, err := os.ReadFile(f.addressFile)
		if err == nil {
			err = json.Unmarshal(data, &at)
		}
		if err == nil && len(at.Status) == 0 {
			err = errors.New("the node has no status listener")
		}
		if err != nil {
			return "", failure{exitFailed, fmt.Errorf("read %s: %w", f.addressFile, err)}
		}
		return "http://" + at.Status[0], nil
	}
	cfg, err := load(f)
	if err != nil {
		return "", err
	}
	if len(cfg.StatusListen) == 0 {
		return "", failure{exitUsage, errors.New("configuration: status_listen is off, so the node cannot be asked")}
	}
	l := cfg.StatusListen[0]
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return "", failure{exitUsage, err}
	}
	if net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if l.TLS {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// askReady gives the node's own word for being ready, or why it is not.
func askReady(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status/ready", nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{ // the certificate is the node's own making
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}
	answer, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var said struct{ Message string }
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&said); err != nil {
		return "", fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("node at %s is not ready: %s", url, said.Message)
	}
	return said.Message, nil
}
