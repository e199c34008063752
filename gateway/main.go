// Command gateway runs one node of the reference gateway: services, routes, consumers, plugins and
// keys in PostgreSQL, changed through any node's Admin API, served by every node's proxy.
//
// A change flows admin -> store (one transaction: the entity and its events) -> PostgreSQL ->
// event.Poller on every node -> cache.Drop and a new router -> proxy. A request flows proxy ->
// router.Match -> plugins -> service. The rooms do not know this one.
//
//	commands.go  what can be typed
//	node.go      one node, put together
//	apply.go     how a change reaches what the node serves from
//	listen.go    its listeners, from opening to draining
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"tidemark/gateway/config"
	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/plugin/exampleplugin"
	"tidemark/gateway/plugin/httplog"
	"tidemark/gateway/plugin/keyauth"
	"tidemark/gateway/plugin/requesttermination"
	"tidemark/gateway/plugin/responsetransformer"
)

// Exit codes.
const (
	exitFailed   = 1  // gateway health: the node is not ready
	exitUsage    = 64 // the command line or the configuration
	exitInternal = 70 // what should not happen
)

// plugins are all that a node knows, in the order in which it tells of them. Without a lookup and
// a log they only tell what they can be configured with.
func plugins(cfg config.Config, lookup keyauth.Lookup, log *slog.Logger) []plugin.Plugin {
	return []plugin.Plugin{
		keyauth.New(lookup),
		requesttermination.New(cfg.NodeID),
		httplog.New(httplog.Options{Logger: log, Defects: cfg.Defects.Log}),
		responsetransformer.New(),
		exampleplugin.New(), // not bundled: enabled by its name only
	}
}

// catalog declares the entities, with the plugins that cfg enables.
func catalog(cfg config.Config, all []plugin.Plugin) *entity.Catalog {
	var schemas []entity.PluginSchema
	for _, p := range all {
		schemas = append(schemas, plugin.SchemaOf(p, cfg.Enabled(p.Name(), bundled(p))))
	}
	c := entity.NewCatalog(schemas)
	c.Break(cfg.Defects.Entity)
	return c
}

// bundled says whether the word "bundled" enables a plugin.
func bundled(p plugin.Plugin) bool { return p.Name() != "example-plugin" }

// checkPlugins refuses a name in plugins that no plugin has.
func checkPlugins(cfg config.Config, all []plugin.Plugin) error {
	names := []string{"bundled"}
	known := map[string]bool{"bundled": true}
	for _, p := range all {
		names, known[p.Name()] = append(names, p.Name()), true
	}
	for _, name := range cfg.Plugins {
		if !known[name] {
			return fmt.Errorf("KONG_PLUGINS (plugins) names %q, which is no plugin%s; want %s, off, or a list of these",
				name, config.Suggest("", name, names), strings.Join(names, ", "))
		}
	}
	return nil
}

// newLog writes one line an entry, with Kong's words for the levels.
func newLog(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if l, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey {
				a.Value = slog.StringValue(config.LevelWord(l))
			}
			return a
		},
	}))
}

// signals gives a context that the first SIGTERM, SIGINT or SIGQUIT ends; the second does what it
// does to any process. SIGHUP changes nothing and is told so. The function ends all that.
func signals(log *slog.Logger) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	incoming := make(chan os.Signal, 4)
	signal.Notify(incoming, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	var listening sync.WaitGroup
	listening.Go(func() {
		for s := range incoming {
			switch {
			case s == syscall.SIGHUP:
				log.Warn("SIGHUP is not supported: restart the node to load its configuration again")
			case ctx.Err() == nil:
				cancel()
			default:
				signal.Reset(s)
				_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
			}
		}
	})
	return ctx, func() {
		cancel()
		signal.Stop(incoming)
		close(incoming)
		listening.Wait()
	}
}

// A failure carries the exit code that it ends the process with.
type failure struct {
	code int
	error
}

func (f failure) Unwrap() error { return f.error }

func main() {
	err := command().Execute()
	code := 0
	if err != nil {
		code = exitUsage // what cobra itself refuses
		if f := (failure{}); errors.As(err, &f) {
			code = f.code
		}
		fmt.Fprintln(os.Stderr, "gateway:", err)
	}
	os.Exit(code)
}
