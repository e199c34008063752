package config

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tidemark/gateway/store"
)

// A property is one setting: how it is read, how it is shown, and what it takes.
type property struct {
	name   string
	takes  string // "want " is followed by this
	secret bool
	get    func(c *Config) any // as in GET /: a string, a number, a bool or a list; nil: unset
	set    func(c *Config, value string) error
}

// errBad is a value that a property does not take; the property says what it does.
var errBad = errors.New("bad value")

const (
	maxSeconds = 100_000_000
	fast       = 0.01 // seconds: below it a loop only burns
)

// properties are all that there are, in the order in which they are shown.
func properties() []property {
	list := []property{
		nodeID(),
		{
			name: "database", takes: "postgres",
			get: func(*Config) any { return "postgres" },
			set: func(_ *Config, v string) error { return unless(v == "postgres") },
		},
		plugins(),
		word("log_level", func(c *Config) *string { return &c.LogLevel }, words()...),
		listeners("proxy_listen", func(c *Config) *[]Listen { return &c.ProxyListen }),
		listeners("admin_listen", func(c *Config) *[]Listen { return &c.AdminListen }),
		listeners("status_listen", func(c *Config) *[]Listen { return &c.StatusListen }),
		size("admin_max_body", func(c *Config) *int64 { return &c.AdminMaxBody }),
		size("mem_cache_size", func(c *Config) *int64 { return &c.MemCacheSize }),
		seconds("db_update_frequency", fast, func(c *Config) *time.Duration { return &c.UpdateFrequency }),
		seconds("db_update_propagation", 0, func(c *Config) *time.Duration { return &c.UpdatePropagation }),
		seconds("db_cache_ttl", 0, func(c *Config) *time.Duration { return &c.CacheTTL }),
		seconds("db_cache_neg_ttl", 0, func(c *Config) *time.Duration { return &c.CacheNegTTL }),
		seconds("db_resurrect_ttl", 0, func(c *Config) *time.Duration { return &c.ResurrectTTL }),
		word("worker_consistency", func(c *Config) *string { return &c.WorkerConsistency }, "strict", "eventual"),
		seconds("worker_state_update_frequency", fast, func(c *Config) *time.Duration { return &c.StateUpdateFrequency }),
		workers(),
		seconds("queue_flush_timeout", 0, func(c *Config) *time.Duration { return &c.QueueFlushTimeout }),
	}
	list = append(list, server("pg_", func(c *Config) *store.Server { return &c.Postgres })...)
	return append(list, server("pg_ro_", func(c *Config) *store.Server { return &c.ReadOnly })...)
}

func words() []string {
	all, _ := levels()
	return all
}

// server is how one PostgreSQL server is reached.
func server(prefix string, at func(*Config) *store.Server) []property {
	password := text(prefix+"password", func(c *Config) *string { return &at(c).Password })
	password.secret = true
	return []property{
		text(prefix+"host", func(c *Config) *string { return &at(c).Host }),
		whole(prefix+"port", 1, 65535, func(c *Config) *int { return &at(c).Port }),
		text(prefix+"user", func(c *Config) *string { return &at(c).User }),
		password,
		text(prefix+"database", func(c *Config) *string { return &at(c).Database }),
		flag(prefix+"ssl", func(c *Config) *bool { return &at(c).SSL }),
		flag(prefix+"ssl_verify", func(c *Config) *bool { return &at(c).SSLVerify }),
		millis(prefix+"timeout", func(c *Config) *time.Duration { return &at(c).Timeout }),
		{
			name: prefix + "max_concurrent_queries", takes: "a whole number from 0 (the default number of connections) to 10000",
			get: func(c *Config) any { return int64(at(c).MaxConns) },
			set: func(c *Config, v string) error {
				n, err := strconv.ParseInt(v, 10, 32)
				at(c).MaxConns = int32(n)
				return unless(err == nil && n >= 0 && n <= 10000)
			},
		},
	}
}

func unless(good bool) error {
	if good {
		return nil
	}
	return errBad
}

func nodeID() property {
	return property{
		name: "node_id", takes: "a UUID, another one on each node",
		get: func(c *Config) any { return c.NodeID },
		set: func(c *Config, v string) error {
			c.NodeID = strings.ToLower(v)
			return unless(len(v) == 36 && uuid.Validate(v) == nil)
		},
	}
}

func plugins() property {
	return property{
		name: "plugins", takes: "names of plugins and the word bundled, parted by commas, or off",
		get: func(c *Config) any { return listOr(c.Plugins) },
		set: func(c *Config, v string) error {
			c.Plugins = nil
			names := split(v)
			if len(names) == 1 && names[0] == "off" {
				return nil
			}
			c.Plugins = names
			return unless(!slices.Contains(names, "off") && !slices.Contains(names, ""))
		},
	}
}

// workers is a number here, and not "auto" as in nginx, unless it is asked for: one worker uses all
// cores already, and each further one multiplies what the queues may hold.
func workers() property {
	const most = 64
	return property{
		name: "nginx_worker_processes", takes: fmt.Sprintf("auto (one a core) or a whole number from 1 to %d", most),
		get: func(c *Config) any { return int64(c.Workers) },
		set: func(c *Config, v string) error {
			if v == "auto" {
				c.Workers = min(runtime.NumCPU(), most)
				return nil
			}
			n, err := strconv.Atoi(v)
			c.Workers = n
			return unless(err == nil && n >= 1 && n <= most)
		},
	}
}

// listOr shows an empty list as "off".
func listOr(list []string) []string {
	if len(list) == 0 {
		return []string{"off"}
	}
	return list
}

func split(v string) []string {
	parts := strings.Split(v, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func text(name string, at func(*Config) *string) property {
	return property{
		name: name, takes: "text without control characters",
		get: func(c *Config) any {
			if *at(c) == "" {
				return nil
			}
			return *at(c)
		},
		set: func(c *Config, v string) error {
			*at(c) = v
			return unless(!strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 127 }))
		},
	}
}

func word(name string, at func(*Config) *string, words ...string) property {
	return property{
		name: name, takes: "one of " + strings.Join(words, ", "),
		get: func(c *Config) any { return *at(c) },
		set: func(c *Config, v string) error {
			*at(c) = v
			return unless(slices.Contains(words, v))
		},
	}
}

func flag(name string, at func(*Config) *bool) property {
	return property{
		name: name, takes: "on or off",
		get: func(c *Config) any { return *at(c) },
		set: func(c *Config, v string) error {
			*at(c) = v == "on" || v == "true"
			return unless(slices.Contains([]string{"on", "off", "true", "false"}, v))
		},
	}
}

func whole(name string, least, most int, at func(*Config) *int) property {
	return property{
		name: name, takes: fmt.Sprintf("a whole number from %d to %d", least, most),
		get: func(c *Config) any { return int64(*at(c)) },
		set: func(c *Config, v string) error {
			n, err := strconv.Atoi(v)
			*at(c) = n
			return unless(err == nil && n >= least && n <= most)
		},
	}
}

// seconds may have a fraction. A negative duration is shown as unset.
func seconds(name string, least float64, at func(*Config) *time.Duration) property {
	return property{
		name: name, takes: fmt.Sprintf("a number of seconds from %v to %d", least, maxSeconds),
		get: func(c *Config) any {
			if *at(c) < 0 {
				return nil
			}
			return at(c).Seconds()
		},
		set: func(c *Config, v string) error {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil || !(n >= least && n <= maxSeconds) { // NaN is neither
				return errBad
			}
			*at(c) = time.Duration(math.Round(n * float64(time.Second)))
			return nil
		},
	}
}

func millis(name string, at func(*Config) *time.Duration) property {
	return property{
		name: name, takes: "a whole number of milliseconds from 1 to 2147483646",
		get: func(c *Config) any { return at(c).Milliseconds() },
		set: func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			*at(c) = time.Duration(n) * time.Millisecond
			return unless(err == nil && n >= 1 && n <= 1<<31-2)
		},
	}
}

// size is in bytes, or in nginx's k, m and g.
func size(name string, at func(*Config) *int64) property {
	const units = "kmg"
	return property{
		name: name, takes: "a size above 0, such as 131072, 128k, 128m or 1g",
		get: func(c *Config) any {
			n, unit := *at(c), ""
			for i := 0; i < len(units) && n > 0 && n%1024 == 0; i++ {
				n, unit = n/1024, units[i:i+1]
			}
			return strconv.FormatInt(n, 10) + unit
		},
		set: func(c *Config, v string) error {
			digits := strings.ToLower(v)
			shift := 0
			if i := strings.IndexByte(units, digits[len(digits)-1]); i >= 0 {
				digits, shift = digits[:len(digits)-1], 10*(i+1)
			}
			n, err := strconv.ParseInt(digits, 10, 64)
			*at(c) = n << shift
			return unless(err == nil && n > 0 && n <= 1<<40>>shift)
		},
	}
}

func listeners(name string, at func(*Config) *[]Listen) property {
	return property{
		name: name, takes: "addresses such as 127.0.0.1:8000 with the words ssl, http2, reuseport, backlog=N, parted by commas, or off",
		get: func(c *Config) any {
			var list []string
			for _, l := range *at(c) {
				list = append(list, l.String())
			}
			return listOr(list)
		},
		set: func(c *Config, v string) error {
			list, err := parseListens(v)
			*at(c) = list
			return err
		},
	}
}
