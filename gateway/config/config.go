// Package config holds every property of a node: its name, its default, its bounds, and how the
// environment and a file set it.
//
// A property is one line in one table (properties.go). From that table come the parser, the
// messages about bad values, [Config.Validate] and [Config.Dump]; a value outside its bounds never
// gets past [Load]. The tables of properties and of defects are what makes the package long.
package config

import (
	"log/slog"
	"time"

	"github.com/google/uuid"

	"tidemark/gateway/cache"
	"tidemark/gateway/entity"
	"tidemark/gateway/event"
	"tidemark/gateway/plugin"
	"tidemark/gateway/proxy"
	"tidemark/gateway/store"
)

// Config is what is in force on a node. Its zero value is of no use; see [Defaults].
type Config struct {
	NodeID   string // a UUID, new for each process unless it is set
	Plugins  []string
	LogLevel string // Kong's word; see Level

	ProxyListen, AdminListen, StatusListen []Listen // empty: off

	AdminMaxBody int64 // bytes of a request's body; above it 413
	MemCacheSize int64 // bytes of each of the two caches

	Postgres store.Server
	ReadOnly store.Server // no Host: there is no replica; see Replica

	UpdateFrequency   time.Duration // from one poll to the next
	UpdatePropagation time.Duration // how long other nodes postpone a drop, counted from the write
	CacheTTL          time.Duration // of what was loaded; 0: for ever
	CacheNegTTL       time.Duration // of cached misses; negative: unset, as CacheTTL (see NegTTL)
	ResurrectTTL      time.Duration // how long a stale entry serves when its load fails; 0: not at all

	WorkerConsistency    string        // "strict" or "eventual"; see Strict
	StateUpdateFrequency time.Duration // from one rebuild to the next when eventual

	Workers           int           // acceptors of the proxy, each with queues of its own
	QueueFlushTimeout time.Duration // how long a stop waits for what the queues hold

	// Defects are the defects of every room; see Break.
	Defects struct {
		Node   NodeDefects
		Event  event.Defects
		Store  store.Defects
		Entity entity.Defects
		Cache  cache.Defects
		Proxy  proxy.Defects
		Queue  plugin.QueueDefects
		Log    plugin.LogDefects
	}
}

// NodeDefects break how the rooms are put together.
type NodeDefects struct {
	NoFirstBuild bool // a node starts with an empty router and waits for the first event
	AlwaysReady  bool // /status/ready does not look at the database
	PurgeCache   bool // a purge of everything by hand leaves the router as it is
	GoesBack     bool // the poll after a node's own change shows for a moment what was before
	StaleAll     bool // an event about routing marks all that is cached stale
	ResyncKeeps  bool // a resync renews the router and leaves the cache as it is
	LoadFirst    bool // a node loads its router before it takes its place in the log of events
	PluginsDeaf  bool // events about plugins alone do not rebuild
	FirstView    bool // /cache shows of a key what it showed first
	DeadAlone    bool // the status listener answers 500 while the database is away
	FlushFirst   bool // a stop flushes the queues before the requests in flight have ended
	OneWorker    bool // there is one worker, whatever nginx_worker_processes says
	SharedQueues bool // all workers use the queues of the first
	LossUnsaid   bool // what a stop could not deliver is not counted in the log
}

// Defaults gives every property's default: Kong's, but for the consistency, which is strict here
// because the documents promise a node's own change at once (CLU-13).
func Defaults() Config {
	postgres := store.Server{
		Host: "127.0.0.1", Port: 5432, User: "kong", Database: "kong", Timeout: 5 * time.Second,
	}
	replica := postgres
	replica.Host = ""
	return Config{
		NodeID:   uuid.NewString(),
		Plugins:  []string{"bundled"},
		LogLevel: "notice",
		ProxyListen: []Listen{
			{Address: "0.0.0.0:8000", ReusePort: true, Backlog: 16384},
			{Address: "0.0.0.0:8443", TLS: true, HTTP2: true, ReusePort: true, Backlog: 16384},
		},
		AdminListen: []Listen{
			{Address: "127.0.0.1:8001", ReusePort: true, Backlog: 16384},
			{Address: "127.0.0.1:8444", TLS: true, HTTP2: true, ReusePort: true, Backlog: 16384},
		},
		StatusListen:         []Listen{{Address: "127.0.0.1:8007", ReusePort: true, Backlog: 16384}},
		AdminMaxBody:         10 << 20,
		MemCacheSize:         128 << 20,
		Postgres:             postgres,
		ReadOnly:             replica,
		UpdateFrequency:      5 * time.Second,
		CacheNegTTL:          -1,
		ResurrectTTL:         30 * time.Second,
		WorkerConsistency:    "strict",
		StateUpdateFrequency: 5 * time.Second,
		Workers:              1,
		QueueFlushTimeout:    10 * time.Second,
	}
}

// NegTTL is how long a miss stays cached, 0 for ever: db_cache_neg_ttl, or db_cache_ttl where that
// is unset.
func (c Config) NegTTL() time.Duration {
	if c.CacheNegTTL < 0 {
		return c.CacheTTL
	}
	return c.CacheNegTTL
}

// Strict says whether a write waits until the node serves by it.
func (c Config) Strict() bool { return c.WorkerConsistency == "strict" }

// Replica is the server that the data plane reads, nil when there is none.
func (c Config) Replica() *store.Server {
	if c.ReadOnly.Host == "" {
		return nil
	}
	return &c.ReadOnly
}

// Enabled says whether a plugin is; bundled ones are all named by the word "bundled".
func (c Config) Enabled(name string, bundled bool) bool {
	for _, p := range c.Plugins {
		if p == name || bundled && p == "bundled" {
			return true
		}
	}
	return false
}

// The levels of a log that slog has no name for; the others are slog's own.
const (
	LevelNotice = slog.LevelInfo + 2
	LevelCrit   = slog.LevelError + 4
	LevelAlert  = slog.LevelError + 8
	LevelEmerg  = slog.LevelError + 12
)

// levels are Kong's words, ascending.
func levels() ([]string, []slog.Level) {
	return []string{"debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"},
		[]slog.Level{
			slog.LevelDebug, slog.LevelInfo, LevelNotice, slog.LevelWarn,
			slog.LevelError, LevelCrit, LevelAlert, LevelEmerg,
		}
}

// Level is the least level that is logged.
func (c Config) Level() slog.Level {
	words, of := levels()
	for i, word := range words {
		if word == c.LogLevel {
			return of[i]
		}
	}
	return LevelNotice
}

// LevelWord is Kong's word for a level, or for the next one below.
func LevelWord(level slog.Level) string {
	words, of := levels()
	for i := len(of) - 1; i > 0; i-- {
		if level >= of[i] {
			return words[i]
		}
	}
	return words[0]
}
