package main

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"tidemark/gateway/admin"
	"tidemark/gateway/cache"
	"tidemark/gateway/config"
	"tidemark/gateway/event"
	"tidemark/gateway/plugin"
	"tidemark/gateway/proxy"
	"tidemark/gateway/router"
	"tidemark/gateway/store"
)

// entrySize is what an entry counts for against mem_cache_size, in bytes: the size of a credential
// with its consumer, roughly, and of the bookkeeping around them.
const entrySize = 1 << 10

// cleanInterval is how often a node deletes events that have expired.
const cleanInterval = 300 * time.Second

// The words of /status/ready while a node cannot take traffic.
var (
	errNoDatabase = errors.New("failed to connect to database")
	errNoRouter   = errors.New("router builds not yet complete")
)

// run is one node, from its first listener to its last connection. It blocks until ctx ends and
// everything that it started has ended. A database that is away delays nothing but readiness.
func run(ctx context.Context, cfg config.Config, addressFile string, log *slog.Logger) error {
	if cfg.Defects.Node.OneWorker {
		cfg.Workers = 1
	}
	n, err := assemble(cfg, log)
	if err != nil {
		return err
	}
	defer n.close()
	d, err := openDoors(ctx, cfg, log)
	if err != nil {
		return err
	}
	withdraw, err := d.announce(addressFile)
	if err != nil {
		d.close()
		return err
	}
	defer withdraw()
	log.Log(ctx, config.LevelNotice, "node started", "node_id", cfg.NodeID, "listeners", d.String())
	var loops sync.WaitGroup
	defer loops.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	loops.Go(func() { _ = n.live.Run(ctx) })
	loops.Go(func() { n.follow(ctx) })
	loops.Go(func() { n.clean(ctx) })
	if cfg.Defects.Node.FlushFirst {
		loops.Go(func() { <-ctx.Done(); n.flush() })
	}
	err = d.serve(ctx, n.proxies(), n.admin(), n.status())
	if !cfg.Defects.Node.FlushFirst {
		n.flush()
	}
	log.Log(ctx, config.LevelNotice, "node stopped", "node_id", cfg.NodeID)
	return err
}

// A node is the mirror with what feeds it and what shows it.
type node struct {
	mirror
	cfg     config.Config
	workers []*plugin.Worker
}

// assemble puts the rooms together. It does no I/O.
func assemble(cfg config.Config, log *slog.Logger) (*node, error) {
	n := &node{cfg: cfg, mirror: mirror{log: log, broken: cfg.Defects.Node}}
	n.plugins = plugins(cfg, &n.mirror, log)
	n.catalog = catalog(cfg, n.plugins)
	n.cache = cache.New(cache.Options{
		TTL: cfg.CacheTTL, NegTTL: cfg.NegTTL(), ResurrectTTL: cfg.ResurrectTTL,
		MaxEntries: int(max(1, cfg.MemCacheSize/entrySize)), Logger: log, Defects: cfg.Defects.Cache,
	})
	n.live = proxy.NewLive(proxy.LiveOptions{
		Load: n.load, Strict: cfg.Strict(), Interval: cfg.StateUpdateFrequency, Refresh: refresh(cfg),
		Timeout: cfg.Postgres.Timeout, Logger: log, Defects: cfg.Defects.Proxy,
	})
	deadline := min(max(cfg.UpdateFrequency, time.Second), cfg.Postgres.Timeout)
	var err error
	n.store, err = store.Open(store.Options{
		Primary: cfg.Postgres, Replica: cfg.Replica(), NodeID: cfg.NodeID, Propagation: cfg.UpdatePropagation,
		PollDeadline: deadline, Catalog: n.catalog, Log: log,
		Applied: n.applied, Doubtful: n.doubtful, Defects: cfg.Defects.Store,
	})
	if err != nil {
		n.cache.Close()
		return nil, err
	}
	n.hire()
	n.poller = event.NewPoller(event.Options{
		Log: n.store, Interval: cfg.UpdateFrequency, Phase: phase(cfg.NodeID), Deadline: deadline,
		Retention: max(10*cfg.UpdatePropagation, time.Hour),
		Handle:    n.handle, Resync: n.resync, Polled: n.polled, Logger: log, Defects: cfg.Defects.Event,
	})
	return n, nil
}

func (n *node) close() {
	for _, w := range n.workers {
		w.Queues.Close()
	}
	for _, p := range n.plugins {
		if c, connects := p.(interface{ CloseIdleConnections() }); connects {
			c.CloseIdleConnections()
		}
	}
	n.cache.Close()
	n.store.Close()
}

// refresh is the age at which the router is loaded anew: a TTL is for hits and for misses, and a
// router holds both (CLU-52). 0: never.
func refresh(cfg config.Config) time.Duration {
	hits, misses := cfg.CacheTTL, cfg.NegTTL()
	if hits <= 0 || misses <= 0 {
		return max(hits, misses, 0)
	}
	return min(hits, misses)
}

// phase spreads the polls of a cluster's nodes over the interval: a part of it, in [0, 1), that a
// node's id decides.
func phase(nodeID string) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(nodeID))
	return float64(h.Sum32()) / (1 << 32)
}

// follow keeps the mirror up to date until ctx ends. The place in the log is taken before the first
// load, so that nothing falls between them.
func (n *node) follow(ctx context.Context) {
	if n.broken.LoadFirst {
		_ = n.live.Rebuild(ctx)
	}
	if n.poller.Start(ctx) != nil {
		return
	}
	// A change of this node's own, or a TTL, may have made it load before it had a place in the log:
	// what other nodes changed between the two is told by no event.
	n.cache.MarkStale()
	if n.broken.NoFirstBuild {
		n.past.again.Store(&proxy.State{Router: &router.Router{}, Plugins: &plugin.Index{}})
	}
	if !n.broken.LoadFirst {
		_ = n.live.Rebuild(ctx) // what fails is tried again at each poll
	}
	_ = n.poller.Run(ctx, nil)
}

// polled runs after every poll: what failed earlier is tried again.
func (n *node) polled(ctx context.Context) {
	n.live.SetDatabase(n.poller.Status().FailingSince.IsZero())
	n.live.Retry(ctx)
	if n.broken.GoesBack {
		n.goBack(ctx)
	}
}

// clean deletes expired events now and then, until ctx ends.
func (n *node) clean(ctx context.Context) {
	tick := time.NewTicker(cleanInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := n.store.CleanEvents(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("expired events are left for the next time", "error", err)
			}
		}
	}
}

// ready says why the node should get no traffic: while its database is away, as Kong has it, and
// until it has something to serve. A node that is not ready still serves what it knows.
func (n *node) ready(ctx context.Context) error {
	if n.cfg.Defects.Node.AlwaysReady && !n.live.Current().Loaded.IsZero() {
		return nil
	}
	// A database without its tables answers; one that does not is not waited for.
	if failed := n.poller.Status().Err; failed != nil && !errors.Is(failed, store.ErrSchema) {
		return errNoDatabase
	}
	ctx, cancel := context.WithTimeout(ctx, min(max(n.cfg.UpdateFrequency, time.Second), n.cfg.Postgres.Timeout))
	defer cancel()
	switch err := n.store.Ready(ctx); {
	case errors.Is(err, store.ErrSchema):
		return err
	case err != nil:
		return errNoDatabase
	case n.live.Current().Loaded.IsZero():
		return errNoRouter
	}
	return nil
}

func (n *node) admin() http.Handler {
	purged := n.purged
	if n.cfg.Defects.Node.PurgeCache || n.cfg.Defects.Cache.NoPurge {
		purged = nil
	}
	return admin.New(admin.Options{
		Catalog: n.catalog, Store: n.store, Cache: n.shown(), PurgeAll: purged,
		Info: n.info, Status: n.report, Timers: n.timers, Refuse: oversized, MaxBody: n.cfg.AdminMaxBody, Logger: n.log,
	})
}

func (n *node) status() http.Handler {
	sound := admin.NewStatus(admin.StatusOptions{Ready: n.ready, Status: n.report, Logger: n.log})
	if !n.broken.DeadAlone {
		return sound
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status" && n.ready(r.Context()) != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		sound.ServeHTTP(w, r)
	})
}

// info is this node's part of GET /.
func (n *node) info(context.Context) (map[string]any, error) {
	configuration := map[string]any{}
	for _, p := range n.cfg.Dump() {
		configuration[p.Name] = p.Value
	}
	// Clients of Kong decide by these two what to ask for.
	configuration["database"] = "postgres"
	configuration["router_flavor"] = "traditional_compatible"
	available := map[string]any{}
	for _, p := range n.plugins {
		if n.cfg.Enabled(p.Name(), bundled(p)) {
			available[p.Name()] = map[string]any{"version": kongVersion, "priority": p.Priority()}
		}
	}
	return map[string]any{
		"node_id": n.cfg.NodeID, "configuration": configuration,
		"plugins": map[string]any{"available_on_server": available},
	}, nil
}

// kongVersion is the version whose behaviour the documents describe.
const kongVersion = "3.8.1"

// report is this node's part of /status: how far it follows the cluster.
func (n *node) report(context.Context) map[string]any {
	polls, builds := n.poller.Status(), n.live.Status()
	return map[string]any{
		"database": map[string]any{"reachable": polls.Polls > 0 && polls.FailingSince.IsZero()},
		"tidemark": map[string]any{
			"polls": polls.Polls, "poll_failures": polls.Failures, "last_poll_error": polls.LastError,
			"poll_failing_since": moment(polls.FailingSince), "last_poll": moment(polls.LastPoll),
			"horizon_age_seconds": polls.HorizonAge.Seconds(), "delayed_events": polls.Delayed,
			"resyncs": polls.Resyncs, "last_resync": polls.LastResync,
			"router_builds": builds.Builds, "router_build_failures": builds.Failures,
			"router_loaded": moment(builds.Loaded), "router_out_of_date": builds.Dirty,
			"cached_entries": n.cache.Len(),
		},
	}
}

// moment is a time as JSON shows it, null for none.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}
