package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/gateway/config"
	"tidemark/gateway/schema"
)

// shown is the value of one property as Dump gives it.
func shown(c config.Config, name string) any {
	for _, p := range c.Dump() {
		if p.Name == name {
			return p.Value
		}
	}
	return fmt.Sprintf("no property %s", name)
}

// TestDocumentedDefaults: with nothing set, what the documents call the default is in force
// (CLU-40, CLU-46, CLU-55).
func TestDocumentedDefaults(t *testing.T) {
	c, warnings, err := config.Load("", nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	for name, want := range map[string]any{
		"db_update_frequency": 5.0, "db_update_propagation": 0.0, "db_cache_ttl": 0.0, "db_cache_neg_ttl": nil,
		"db_resurrect_ttl": 30.0, "worker_consistency": "strict", "worker_state_update_frequency": 5.0,
		"nginx_worker_processes": int64(1), "queue_flush_timeout": 10.0,
		"log_level": "notice", "plugins": []string{"bundled"}, "mem_cache_size": "128m", "admin_max_body": "10m",
		"pg_host": "127.0.0.1", "pg_port": int64(5432), "pg_timeout": int64(5000), "pg_user": "kong",
		"pg_database": "kong", "pg_password": nil, "pg_ssl": false, "pg_ro_host": nil, "database": "postgres",
		"status_listen": []string{"127.0.0.1:8007 reuseport backlog=16384"},
	} {
		if got := shown(c, name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if !schema.IsUUID(c.NodeID) || c.NodeID == config.Defaults().NodeID {
		t.Errorf("node id %q is not new", c.NodeID)
	}
	if c.Replica() != nil {
		t.Error("a replica that nobody named")
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestOneValue(t *testing.T) {
	for _, rule := range []struct {
		variable, value string
		want            any // nil: refused
	}{
		{"KONG_DB_UPDATE_FREQUENCY", "0.5", 0.5},
		{"KONG_DB_UPDATE_FREQUENCY", "0.01", 0.01},
		{"KONG_DB_UPDATE_FREQUENCY", "0", nil},
		{"KONG_DB_UPDATE_FREQUENCY", "-1", nil},
		{"KONG_DB_UPDATE_FREQUENCY", "NaN", nil},
		{"KONG_DB_UPDATE_FREQUENCY", "abc", nil},
		{"KONG_DB_UPDATE_FREQUENCY", "1e99", nil},
		{"KONG_DB_UPDATE_PROPAGATION", "1.25", 1.25},
		{"KONG_DB_CACHE_TTL", "3", 3.0},
		{"KONG_DB_CACHE_TTL", "-1", nil},
		{"KONG_DB_CACHE_NEG_TTL", "0", 0.0},
		{"KONG_DB_RESURRECT_TTL", "0", 0.0},
		{"KONG_NGINX_WORKER_PROCESSES", "3", int64(3)},
		{"KONG_NGINX_WORKER_PROCESSES", "auto", int64(min(runtime.NumCPU(), 64))},
		{"KONG_NGINX_WORKER_PROCESSES", "0", nil},
		{"KONG_NGINX_WORKER_PROCESSES", "65", nil},
		{"KONG_QUEUE_FLUSH_TIMEOUT", "0.5", 0.5},
		{"KONG_QUEUE_FLUSH_TIMEOUT", "-1", nil},
		{"KONG_WORKER_CONSISTENCY", "eventual", "eventual"},
		{"KONG_WORKER_CONSISTENCY", "Strict", nil},
		{"KONG_LOG_LEVEL", "crit", "crit"},
		{"KONG_LOG_LEVEL", "verbose", nil},
		{"KONG_DATABASE", "off", nil},
		{"KONG_NODE_ID", "6E3AC1F9-4A6E-4A16-9E1C-0A2A6EA0B0A1", "6e3ac1f9-4a6e-4a16-9e1c-0a2a6ea0b0a1"},
		{"KONG_NODE_ID", "node-1", nil},
		{"KONG_PLUGINS", "bundled, example-plugin", []string{"bundled", "example-plugin"}},
		{"KONG_PLUGINS", "off", []string{"off"}},
		{"KONG_PLUGINS", "off,key-auth", nil},
		{"KONG_PLUGINS", "bundled,", nil},
		{"KONG_PG_PORT", "65535", int64(65535)},
		{"KONG_PG_PORT", "0", nil},
		{"KONG_PG_PORT", "5432x", nil},
		{"KONG_PG_SSL", "on", true},
		{"KONG_PG_SSL", "yes", nil},
		{"KONG_PG_TIMEOUT", "250", int64(250)},
		{"KONG_PG_TIMEOUT", "0", nil},
		{"KONG_PG_PASSWORD", "s3cret", "******"},
		{"KONG_PG_PASSWORD", "a\x01", nil},
		{"KONG_MEM_CACHE_SIZE", "131072", "128k"},
		{"KONG_MEM_CACHE_SIZE", "1G", "1g"},
		{"KONG_MEM_CACHE_SIZE", "m", nil},
		{"KONG_MEM_CACHE_SIZE", "0", nil},
		{"KONG_MEM_CACHE_SIZE", "9999999999g", nil},
		{"KONG_ADMIN_MAX_BODY", "1000", "1000"},
		{"KONG_PROXY_LISTEN", "off", []string{"off"}},
		{"KONG_PROXY_LISTEN", "127.0.0.1:0", []string{"127.0.0.1:0"}},
		{"KONG_PROXY_LISTEN", "0.0.0.0:80,[::]:443 ssl http2 reuseport backlog=5", []string{"0.0.0.0:80", "[::]:443 http2 ssl reuseport backlog=5"}},
		{"KONG_PROXY_LISTEN", "localhost:80", []string{"127.0.0.1:80"}},
		{"KONG_PROXY_LISTEN", "127.0.0.1", nil},
		{"KONG_PROXY_LISTEN", "host.test:80", nil},
		{"KONG_PROXY_LISTEN", "127.0.0.1:99999", nil},
		{"KONG_PROXY_LISTEN", "127.0.0.1:80 tls", nil},
		{"KONG_PROXY_LISTEN", "127.0.0.1:80 backlog=0", nil},
		{"KONG_PROXY_LISTEN", "127.0.0.1:80,", nil},
		{"KONG_PROXY_LISTEN", "off, 127.0.0.1:80", nil},
	} {
		c, _, err := config.Load("", []string{rule.variable + "=" + rule.value, "HOME=/"})
		name := strings.ToLower(strings.TrimPrefix(rule.variable, "KONG_"))
		switch {
		case rule.want == nil && err == nil:
			t.Errorf("%s=%s was taken as %v", rule.variable, rule.value, shown(c, name))
		case rule.want == nil:
			if m := err.Error(); !strings.HasPrefix(m, rule.variable+" is ") || !strings.Contains(m, ": want ") {
				t.Errorf("%s=%s: the error does not tell the name and what is taken: %s", rule.variable, rule.value, m)
			}
		case err != nil:
			t.Errorf("%s=%s: %v", rule.variable, rule.value, err)
		case !reflect.DeepEqual(shown(c, name), rule.want):
			t.Errorf("%s=%s: got %v, want %v", rule.variable, rule.value, shown(c, name), rule.want)
		default:
			if err := c.Validate(); err != nil {
				t.Errorf("%s=%s: loaded, then invalid: %v", rule.variable, rule.value, err)
			}
		}
	}
}

func TestAllBadValuesAreTold(t *testing.T) {
	_, _, err := config.Load("", []string{"KONG_PG_PORT=x", "KONG_LOG_LEVEL=y", "KONG_PG_PASSWORD=se\x01cret"})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{`KONG_PG_PORT is "x"`, `KONG_LOG_LEVEL is "y": want one of debug, info, notice`, "KONG_PG_PASSWORD is ******"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "cret") {
		t.Errorf("the password is told: %v", err)
	}
}

func TestUnknownNamesWarn(t *testing.T) {
	_, warnings, err := config.Load("", []string{"KONG_DB_UPDATE_FREQENCY=1", "KONGA=1", "KONG_=", "KONG_PROXY_LISTEN=127.0.0.1:0 deferred"})
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Warning{
		"KONG_DB_UPDATE_FREQENCY is not known; the nearest name is KONG_DB_UPDATE_FREQUENCY",
		`listen on 127.0.0.1:0: "deferred" is not supported and has no effect`,
	}
	if !reflect.DeepEqual(warnings, want) {
		t.Errorf("got %q, want %q", warnings, want)
	}
}

func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kong.conf")
	text := `# the three caching properties (CLU-39)
db_update_frequency = 2   # seconds
db_update_propagation=1
  db_cache_ttl =  3.5
pg_password = "a\#b"
pg_user =
pg_hots = x
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := config.Load(file, []string{"KONG_DB_CACHE_TTL=9", "KONG_DB_UPDATE_PROPAGATION="})
	if err != nil {
		t.Fatal(err)
	}
	if c.UpdateFrequency != 2*time.Second || c.UpdatePropagation != time.Second || c.CacheTTL != 9*time.Second || c.Postgres.Password != "a#b" || c.Postgres.User != "kong" {
		t.Errorf("got %+v", c)
	}
	if want := []config.Warning{config.Warning(file + ":7: pg_hots is not known; the nearest name is pg_host")}; !reflect.DeepEqual(warnings, want) {
		t.Errorf("got %q, want %q", warnings, want)
	}
	for bad, want := range map[string]string{
		"db_cache_ttl = x":   file + `:1: db_cache_ttl is "x": want a number of seconds`,
		"\n[section]":        file + ":2: want a line such as",
		"log_level = 'loud'": file + `:1: log_level is "loud"`,
	} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := config.Load(file, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", bad, err, want)
		}
	}
	if _, _, err := config.Load(file+".gone", nil); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestTheReplicaInherits(t *testing.T) {
	c, _, err := config.Load("", []string{
		"KONG_PG_HOST=primary", "KONG_PG_PORT=1", "KONG_PG_USER=u", "KONG_PG_PASSWORD=p", "KONG_PG_TIMEOUT=7",
		"KONG_PG_RO_HOST=replica", "KONG_PG_RO_PORT=2",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := c.Postgres
	want.Host, want.Port = "replica", 2
	if got := c.Replica(); got == nil || *got != want || got.Password != "p" || got.Timeout != 7*time.Millisecond {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c, _, err = config.Load("", []string{"KONG_PG_RO_PORT=2"})
	if err != nil || c.Replica() != nil {
		t.Errorf("a port alone made a replica: %v %v", c.Replica(), err)
	}
}

func TestNegTTL(t *testing.T) {
	for _, rule := range []struct {
		environ []string
		want    time.Duration
	}{
		{nil, 0},
		{[]string{"KONG_DB_CACHE_TTL=3"}, 3 * time.Second},
		{[]string{"KONG_DB_CACHE_TTL=3", "KONG_DB_CACHE_NEG_TTL=1"}, time.Second},
		{[]string{"KONG_DB_CACHE_TTL=3", "KONG_DB_CACHE_NEG_TTL=0"}, 0},
	} {
		c, _, err := config.Load("", rule.environ)
		if err != nil || c.NegTTL() != rule.want {
			t.Errorf("%v: got %v %v, want %v", rule.environ, c.NegTTL(), err, rule.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for says, change := range map[string]func(*config.Config){
		"node_id":             func(c *config.Config) { c.NodeID = "" },
		"db_update_frequency": func(c *config.Config) { c.UpdateFrequency = 0 },
		"worker_consistency":  func(c *config.Config) { c.WorkerConsistency = "" },
		"pg_timeout":          func(c *config.Config) { c.Postgres.Timeout = 0 },
		"proxy_listen":        func(c *config.Config) { c.ProxyListen = []config.Listen{{Address: "nowhere"}} },
		"pg_ro_port":          func(c *config.Config) { c.ReadOnly.Port = -1 },
	} {
		c := config.Defaults()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), says+" is ") {
			t.Errorf("%s: got %v", says, err)
		}
	}
}

// TestEveryDefectHasAName: each bool of each room's defects is switched by one name, and each name
// breaks something.
func TestEveryDefectHasAName(t *testing.T) {
	ofSaid := []string{"defaults-only", "short-ttl", "bundled-only"} // they change what was said, and here nothing is
	by := map[string]string{}
	for _, d := range config.Defects() {
		c := config.Defaults()
		before := c
		if err := c.Break(d.Name); err != nil {
			t.Fatal(err)
		}
		if d.Breaks == "" {
			t.Errorf("%s does not say what it breaks", d.Name)
		}
		rooms := reflect.ValueOf(c.Defects)
		set := 0
		for i := range rooms.NumField() {
			for j := range rooms.Field(i).NumField() {
				if f := rooms.Field(i); f.Field(j).Bool() {
					name := rooms.Type().Field(i).Name + "." + f.Type().Field(j).Name
					if by[name] != "" {
						t.Errorf("%s is set by %s and %s", name, by[name], d.Name)
					}
					by[name] = d.Name
					set++
				}
			}
		}
		if changed := !reflect.DeepEqual(before, c); set > 1 || set == 0 && !changed && !slices.Contains(ofSaid, d.Name) {
			t.Errorf("%s sets %d switches", d.Name, set)
		}
	}
	rooms := reflect.TypeOf(config.Config{}.Defects)
	for i := range rooms.NumField() {
		for j := range rooms.Field(i).Type.NumField() {
			if name := rooms.Field(i).Name + "." + rooms.Field(i).Type.Field(j).Name; by[name] == "" {
				t.Errorf("%s has no name in the list", name)
			}
		}
	}
	c := config.Defaults()
	if err := c.Break("skip-events"); err == nil || !strings.Contains(err.Error(), "skip-event") {
		t.Errorf("got %v", err)
	}
}
