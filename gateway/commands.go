package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	output      string
}

// command is everything that can be typed.
func command() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "gateway",
		Short: "Run one node of the reference gateway",
		Long: `Run one node of the reference gateway.

Every property is set by its environment variable (KONG_PG_HOST, KONG_DB_CACHE_TTL …), which wins
over a line of the file. "gateway config" shows what is in force.

Exit status: 0 good; 1 not ready (health); 64 command line or configuration; 70 all else.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error { return runNode(f) },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVarP(&f.file, "conf", "c", "", "read properties from this `file` (kong.conf)")
	root.Flags().StringVar(&f.addressFile, "address-file", "", "write where the node listens into this `file`, as JSON")
	root.Flags().StringArrayVar(&f.defects, "defect", nil, "break the node in this one way (`name`; see gateway defects)")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		&cobra.Command{
			Use: "migrate", Short: "Create the schema or bring it up to date", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return migrate(cmd.OutOrStdout(), f) },
		},
		jsonable(f, &cobra.Command{
			Use: "config", Short: "Show what is in force, secrets hidden", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return showConfig(cmd.OutOrStdout(), f) },
		}),
		healthCommand(f),
		jsonable(f, &cobra.Command{
			Use: "defects", Short: "List the ways to break a node on purpose", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return showDefects(cmd.OutOrStdout(), f) },
		}),
		&cobra.Command{
			Use: "version", Short: "Show the version", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "tidemark reference gateway %s (%s)\n", version, runtime.Version())
				return err
			},
		},
	)
	return root
}

func jsonable(f *flags, cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "text or json")
	return cmd
}

// flagError names the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return fmt.Errorf("%w; the nearest is --%s", err, config.Nearest(unknown.GetSpecifiedName(), names))
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
	err = errors.Join(err, checkPlugins(cfg, plugins(nil, "")))
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
	if err := run(ctx, cfg, f.addressFile, log); err != nil {
		return failure{exitInternal, err}
	}
	return nil
}

func migrate(w io.Writer, f *flags) error {
	cfg, err := load(f)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), migrateTimeout)
	defer stop()
	s, err := store.Open(store.Options{
		Primary: cfg.Postgres, NodeID: cfg.NodeID, Catalog: catalog(cfg, plugins(nil, cfg.NodeID)),
		Log: newLog(os.Stderr, cfg.Level()),
	})
	if err != nil {
		return failure{exitInternal, err}
	}
	defer s.Close()
	if err := s.Migrate(ctx); err != nil {
		return failure{exitInternal, err}
	}
	_, err = fmt.Fprintln(w, "the schema is up to date")
	return err
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

func healthCommand(f *flags) *cobra.Command {
	var addressFile string
	cmd := &cobra.Command{
		Use: "health", Short: "0 when the node answers and is ready, else 1", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := statusURL(f, addressFile)
			if err != nil {
				return err
			}
			ctx, stop := context.WithTimeout(cmd.Context(), healthTimeout)
			defer stop()
			message, err := askReady(ctx, url)
			if err != nil {
				return failure{exitFailed, err}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), message)
			return err
		},
	}
	cmd.Flags().StringVar(&addressFile, "address-file", "", "find the node by the `file` that it wrote")
	return cmd
}

// statusURL is where the node's status listener is: as the node wrote it, or as configured.
func statusURL(f *flags, addressFile string) (string, error) {
	if addressFile != "" {
		var at struct{ Status []string }
		data, err := os.ReadFile(addressFile)
		if err == nil {
			err = json.Unmarshal(data, &at)
		}
		if err == nil && len(at.Status) == 0 {
			err = errors.New("the node has no status listener")
		}
		if err != nil {
			return "", failure{exitFailed, fmt.Errorf("read %s: %w", addressFile, err)}
		}
		return "http://" + at.Status[0], nil
	}
	cfg, err := load(f)
	if err != nil {
		return "", err
	}
	for _, l := range cfg.StatusListen {
		host, port, _ := net.SplitHostPort(l.Address)
		if ip := net.ParseIP(host); ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		scheme := "http"
		if l.TLS {
			scheme = "https"
		}
		return scheme + "://" + net.JoinHostPort(host, port), nil
	}
	return "", failure{exitUsage, errors.New("configuration: status_listen is off, so the node cannot be asked")}
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
