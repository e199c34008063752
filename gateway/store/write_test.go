package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tidemark/fixtures/postgres"
	"tidemark/gateway/entity"
	"tidemark/gateway/event"
	"tidemark/gateway/schema"
)

// made is an entity as the Admin API hands it in.
func made(t testing.TB, s *Store, kind string, fields entity.Object) entity.Object {
	t.Helper()
	o, bad := s.o.Catalog.Kind(kind).Schema.Process(maps.Clone(fields), schema.Insert)
	if len(bad) > 0 {
		t.Fatalf("process %s: %v", kind, bad)
	}
	return o
}

// insert creates an entity or ends the test.
func insert(t testing.TB, s *Store, kind string, fields entity.Object) entity.Object {
	t.Helper()
	c, err := s.Insert(t.Context(), s.o.Catalog.Kind(kind), made(t, s, kind, fields))
	if err != nil {
		t.Fatalf("insert %s: %v", kind, err)
	}
	return c.Object
}

func ref(o entity.Object) map[string]any { return map[string]any{"id": o["id"]} }

func byID(o entity.Object) entity.Key { return entity.Key{Field: "id", Value: o["id"].(string)} }

// patch returns a merge that sets fields.
func patch(fields entity.Object) func(entity.Object) (entity.Object, error) {
	return func(old entity.Object) (entity.Object, error) {
		maps.Copy(old, fields)
		return old, nil
	}
}

// events are the keys in the log since the last call, sorted; the log is empty after it.
func events(t testing.TB, p *postgres.Pair) []string {
	t.Helper()
	all, err := p.Value(t.Context(), `WITH gone AS (DELETE FROM cluster_events RETURNING data)
		SELECT coalesce(string_agg(data, E'\n'), '') FROM gone`)
	if err != nil {
		t.Fatal(err)
	}
	keys := strings.Fields(all)
	slices.Sort(keys)
	return keys
}

func do(t testing.TB, p *postgres.Pair, sql string, args ...any) {
	t.Helper()
	if _, err := p.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, p *postgres.Pair, table string) string {
	t.Helper()
	n, err := p.Value(t.Context(), "SELECT count(*)::text FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMigrationsRunOnceHoweverManyStartThem(t *testing.T) {
	t.Parallel()
	p := primary(t)
	do(t, p, "DROP SCHEMA public CASCADE")
	do(t, p, "CREATE SCHEMA public AUTHORIZATION kong")
	s := node(t, p, nil)
	if err := s.Ready(t.Context()); !errors.Is(err, ErrSchema) {
		t.Errorf("ready without a schema: %v", err)
	}
	var all sync.WaitGroup
	problems, did := make([]error, 4), make([]string, 4)
	for i := range problems {
		all.Go(func() {
			first, err := s.Migrate(t.Context())
			again, errAgain := s.Migrate(t.Context())
			problems[i] = errors.Join(err, errAgain)
			did[i] = first.String()
			if again.From != schemaVersion || again.To != schemaVersion {
				t.Errorf("the second time: %s", again)
			}
		})
	}
	all.Wait()
	if err := errors.Join(problems...); err != nil {
		t.Fatal(err)
	}
	slices.Sort(did)
	already := "the schema was up to date already (version 2)"
	if want := []string{"the schema was created (version 2)", already, already, already}; !slices.Equal(did, want) {
		t.Errorf("at once: %q", did)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("ready with the schema: %v", err)
	}
	if n := count(t, p, "workspaces"); n != "1" {
		t.Errorf("%s workspaces", n)
	}
	do(t, p, "UPDATE schema_version SET version = 1")
	do(t, p, "DROP TABLE cluster_events, cluster_event_deletions; DROP FUNCTION cluster_events_deleted, cluster_events_truncated")
	if _, err := s.Since(t.Context(), event.Cursor{}); !errors.Is(err, ErrSchema) {
		t.Errorf("poll with half a schema: %v", err)
	}
	if m, err := s.Migrate(t.Context()); err != nil || m.String() != "the schema was brought from version 1 to 2" {
		t.Errorf("%s, %v", m, err)
	}
}

func TestSchemaVersionIsTheNumberOfMigrations(t *testing.T) {
	files, err := migrations.ReadDir("migrations")
	if err != nil || len(files) != schemaVersion {
		t.Errorf("%d files, schemaVersion %d, %v", len(files), schemaVersion, err)
	}
}

// Every field of every kind comes back as it was handed in, by each way of reading.
func TestWhatIsStoredIsWhatIsRead(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	service := insert(t, s, "services", entity.Object{
		"name": "ab~1", "host": "example.com", "protocol": "https", "path": "/x",
		"tags": []any{"a", "b c{}"}, "tls_verify": true, "ca_certificates": []any{uuid.NewString()},
	})
	route := insert(t, s, "routes", entity.Object{
		"name": "r", "service": ref(service), "paths": []any{"/a", "~/b"}, "hosts": []any{},
		"headers":   map[string]any{"x-one": []any{"1", "2"}},
		"protocols": []any{"http"}, "regex_priority": int64(1) << 40,
	})
	consumer := insert(t, s, "consumers", entity.Object{"username": "ä \"u\"", "custom_id": "c"})
	plugin := insert(t, s, "plugins", entity.Object{
		"name": "anything", "service": ref(service), "config": map[string]any{"depth": int64(3), "share": 1.0},
	})
	credential := insert(t, s, "keyauth_credentials", entity.Object{"key": "k", "consumer": ref(consumer), "ttl": int64(100)})
	if ttl := credential["ttl"]; ttl != int64(100) {
		t.Errorf("remaining ttl %v", ttl)
	}
	for kind, want := range map[string]entity.Object{
		"services": service, "routes": route, "consumers": consumer, "plugins": plugin, "keyauth_credentials": credential,
	} {
		k := s.o.Catalog.Kind(kind)
		got, err := s.Get(t.Context(), k, byID(want))
		same(t, kind+" got", got, want, err)
		page, next, err := s.List(t.Context(), k, ListOptions{})
		if len(page) != 1 || next != "" {
			t.Fatalf("%s: %d entities, next %q", kind, len(page), next)
		}
		same(t, kind+" listed", page[0], want, err)
		loaded, err := s.Load(t.Context(), k, entity.Key{Field: k.EndpointKey, Value: entity.Value(want, k.EndpointKey)}, "x")
		if k.EndpointKey != "instance_name" {
			same(t, kind+" loaded", loaded, want, err)
		}
	}
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "service of the snapshot", snap.Services[0], service, nil)
	same(t, "route of the snapshot", snap.Routes[0], route, nil)
	same(t, "plugin of the snapshot", snap.Plugins[0], plugin, nil)
	stream := insert(t, s, "routes", entity.Object{"protocols": []any{"tcp"}, "sources": []any{map[string]any{"ip": "10.0.0.1", "port": int64(80)}}})
	got, err := s.Get(t.Context(), s.o.Catalog.Kind("routes"), byID(stream))
	same(t, "stream route got", got, stream, err)
	if source := got["sources"].([]any)[0].(map[string]any); source["port"] != int64(80) {
		t.Errorf("source %#v", source)
	}
}

func same(t *testing.T, what string, got, want entity.Object, err error) {
	t.Helper()
	got, want = maps.Clone(got), maps.Clone(want)
	delete(got, "ttl")
	delete(want, "ttl")
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w || err != nil {
		t.Errorf("%s:\n got %s\nwant %s\n%v", what, g, w, err)
	}
}

// Who is told of what: each change, and the keys among the events of its transaction.
func TestAChangeAndItsEventsAreOneTransaction(t *testing.T) {
	t.Parallel()
	p := primary(t)
	var applied []Change
	s := node(t, p, func(o *Options) {
		o.Applied = func(_ context.Context, c Change) { applied = append(applied, c) }
	})
	ctx := t.Context()
	ws, err := s.Workspace(ctx)
	if err != nil {
		t.Fatal(err)
	}
	kind := s.o.Catalog.Kind
	told := func(what string, c Change, err error, want ...string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for i := range want {
			if strings.Count(want[i], ":") > 1 {
				want[i] += ":" + ws
			}
		}
		slices.Sort(want)
		if got := events(t, p); !slices.Equal(got, want) {
			t.Errorf("%s: events %q, want %q", what, got, want)
		}
		last := applied[len(applied)-1]
		if len(last.Keys) != len(want) || len(last.EventIDs) != len(want) || last.Position == 0 || last.Kind == nil || !last.Found {
			t.Errorf("%s: applied %+v", what, last)
		}
	}
	c, err := s.Insert(ctx, kind("services"), made(t, s, "services", entity.Object{"name": "s", "host": "h"}))
	service := c.Object
	told("create service", c, err, "services:"+service["id"].(string)+"::::")
	c, err = s.Insert(ctx, kind("routes"), made(t, s, "routes", entity.Object{"paths": []any{"/a"}, "service": map[string]any{"name": "s"}}))
	route := c.Object
	told("create route, service by name", c, err, "routes:"+route["id"].(string)+"::::", "router:version")
	if route["service"].(map[string]any)["id"] != service["id"] {
		t.Errorf("route's service %v", route["service"])
	}
	c, err = s.Upsert(ctx, kind("services"), entity.Key{Field: "name", Value: "s"}, made(t, s, "services", entity.Object{"name": "s", "host": "h2"}))
	told("replace service", c, err, "services:"+service["id"].(string)+"::::", "router:version")
	if c.Object["id"] != service["id"] || c.Object["host"] != "h2" {
		t.Errorf("replaced by name: %v", c.Object)
	}
	c, err = s.Insert(ctx, kind("consumers"), made(t, s, "consumers", entity.Object{"username": "u"}))
	consumer := c.Object
	told("create consumer", c, err, "consumers:"+consumer["id"].(string)+"::::", "consumers:u::::")
	c, err = s.Insert(ctx, kind("keyauth_credentials"), made(t, s, "keyauth_credentials", entity.Object{"key": "k1", "consumer": ref(consumer)}))
	credential := c.Object
	told("create credential", c, err, "keyauth_credentials:k1::::")
	c, err = s.Update(ctx, kind("keyauth_credentials"), byID(credential), patch(entity.Object{"key": "k2"}))
	told("change key", c, err, "keyauth_credentials:k1::::", "keyauth_credentials:k2::::")
	fresh := uuid.NewString()
	c, err = s.Upsert(ctx, kind("keyauth_credentials"), entity.Key{Field: "id", Value: fresh}, made(t, s, "keyauth_credentials", entity.Object{"key": "k3", "consumer": ref(consumer)}))
	told("create credential by PUT", c, err, "keyauth_credentials:k3::::")
	c, err = s.Delete(ctx, kind("consumers"), byID(consumer))
	told("delete consumer", c, err, "consumers:"+consumer["id"].(string)+"::::", "consumers:u::::", "keyauth_credentials:k2::::", "keyauth_credentials:k3::::")
	if n := count(t, p, "keyauth_credentials"); n != "0" {
		t.Errorf("%s credentials left", n)
	}
	c, err = s.Delete(ctx, kind("consumers"), byID(consumer))
	if err != nil || c.Found || len(events(t, p)) != 0 {
		t.Errorf("delete nothing: %+v %v", c, err)
	}
}

// An id in another spelling is the same id, in answers and in the keys that others are told.
func TestIDsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	ws, _ := s.Workspace(t.Context())
	id := uuid.NewString()
	service := insert(t, s, "services", entity.Object{"id": strings.ToUpper(id), "host": "h"})
	route := insert(t, s, "routes", entity.Object{"paths": []any{"/a"}, "service": map[string]any{"id": strings.ToUpper(id)}})
	if service["id"] != id || entity.Value(route, "service") != id {
		t.Errorf("answered %v and %v", service["id"], route["service"])
	}
	if told := events(t, p); !slices.Contains(told, "services:"+id+":::::"+ws) {
		t.Errorf("told of %q", told)
	}
}

// What the Admin API answers to what the database refuses; nothing is stored or told of.
func TestRefusalsSpeakTheAdminAPI(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	ctx := t.Context()
	service := insert(t, s, "services", entity.Object{"name": "s", "host": "h"})
	insert(t, s, "routes", entity.Object{"paths": []any{"/a"}, "service": ref(service)})
	insert(t, s, "plugins", entity.Object{"name": "anything", "service": ref(service), "instance_name": "i"})
	id, nobody := service["id"].(string), "99999999-9999-4999-8999-999999999999"
	create := func(kind string, fields entity.Object) func() error {
		return func() error {
			_, err := s.Insert(ctx, s.o.Catalog.Kind(kind), made(t, s, kind, fields))
			return err
		}
	}
	change := func(by entity.Key, fields entity.Object) func() error {
		return func() error {
			_, err := s.Update(ctx, s.o.Catalog.Kind("services"), by, patch(fields))
			return err
		}
	}
	events(t, p)
	for _, rule := range []struct {
		what    string
		do      func() error
		code    int
		message string
		fields  string
	}{
		{"duplicate id", create("services", entity.Object{"id": id, "host": "h"}), 3, `primary key violation on key '{id="` + id + `"}'`, "map[id:" + id + "]"},
		{"duplicate name", create("services", entity.Object{"name": "s", "host": "h"}), 5, `UNIQUE violation detected on '{name="s"}'`, "map[name:s]"},
		{
			"second plugin on a scope", create("plugins", entity.Object{"name": "anything", "service": ref(service)}), 5,
			`UNIQUE violation detected on '{consumer=null,name="anything",route=null,service={id="` + id + `"}}'`,
			"map[consumer:<nil> name:anything route:<nil> service:map[id:" + id + "]]",
		},
		{"instance name taken", create("plugins", entity.Object{"name": "other", "instance_name": "i"}), 5, `UNIQUE violation detected on '{instance_name="i"}'`, "map[instance_name:i]"},
		{
			"unknown parent", create("routes", entity.Object{"paths": []any{"/b"}, "service": map[string]any{"id": nobody}}), 4,
			`the foreign key '{id="` + nobody + `"}' does not reference an existing 'services' entity.`, "map[service:map[id:" + nobody + "]]",
		},
		{
			"unknown parent by name", func() error {
				o := made(t, s, "routes", entity.Object{"paths": []any{"/b"}})
				o["service"] = map[string]any{"name": "x"}
				_, err := s.Insert(ctx, s.o.Catalog.Kind("routes"), o)
				return err
			}, 13,
			`foreign key unresolved (service.name: the foreign key cannot be resolved with '{name="x"}' for an existing 'services' entity)`,
			`map[service:map[name:the foreign key cannot be resolved with '{name="x"}' for an existing 'services' entity]]`,
		},
		{"change nothing by id", change(entity.Key{Field: "id", Value: nobody}, nil), 6, `could not find the entity with primary key '{id="` + nobody + `"}'`, "map[id:" + nobody + "]"},
		{"change nothing by name", change(entity.Key{Field: "name", Value: "x"}, nil), 6, `could not find the entity with '{name="x"}'`, "map[name:x]"},
		{"a zero byte as name", change(entity.Key{Field: "name", Value: "a\x00b"}, nil), 6, `could not find the entity with '{name="` + "a\x00b" + `"}'`, "map[name:a\x00b]"},
		{"a name too long for its index", create("services", entity.Object{"name": noise(1500), "host": "h"}), 2, "schema violation (name: is too long to be indexed)", "map[name:is too long to be indexed]"},
		{"a name too long for a page", create("services", entity.Object{"name": noise(8000), "host": "h"}), 2, "schema violation (name: is too long to be indexed)", "map[name:is too long to be indexed]"},
		{"delete a service in use", func() error {
			_, err := s.Delete(ctx, s.o.Catalog.Kind("services"), byID(service))
			return err
		}, 4, "an existing 'routes' entity references this 'services' entity", "map[@referenced_by:routes]"},
	} {
		var refused *Error
		if err := rule.do(); !errors.As(err, &refused) {
			t.Errorf("%s: %v", rule.what, err)
			continue
		}
		if refused.Code != rule.code || refused.Message != rule.message || fmt.Sprint(refused.Fields) != rule.fields {
			t.Errorf("%s: %d %s %v", rule.what, refused.Code, refused.Message, refused.Fields)
		}
		if got := events(t, p); len(got) > 0 {
			t.Errorf("%s told of %q", rule.what, got)
		}
	}
	if n := count(t, p, "plugins"); n != "1" {
		t.Errorf("%s plugins left: a refused deletion must take nothing along", n)
	}
}

// noise is text of 2n characters that no compression makes fit into less than n bytes.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// k1→k2 and k1→k3 at once: the second one sees the first one's key and tells of it.
func TestChangesOfOneKeyNeverHideEachOther(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	ctx := t.Context()
	ws, _ := s.Workspace(ctx)
	consumer := insert(t, s, "consumers", entity.Object{"username": "u"})
	for round := range 20 {
		key := func(n int) string { return fmt.Sprintf("round%d-k%d", round, n) }
		credential := insert(t, s, "keyauth_credentials", entity.Object{"key": key(1), "consumer": ref(consumer)})
		events(t, p)
		var both sync.WaitGroup
		for n := 2; n <= 3; n++ {
			both.Go(func() {
				if _, err := s.Update(ctx, s.o.Catalog.Kind("keyauth_credentials"), byID(credential), patch(entity.Object{"key": key(n)})); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		told := events(t, p)
		for n := 1; n <= 3; n++ {
			if want := "keyauth_credentials:" + key(n) + ":::::" + ws; !slices.Contains(told, want) {
				t.Errorf("round %d: %q is not among %q", round, want, told)
			}
		}
		if len(told) != 4 {
			t.Errorf("round %d: %d events, want old and new key of both", round, len(told))
		}
	}
}

// A credential that is created while its consumer is deleted: either it was refused, or it went
// along and its key was told twice.
func TestAChildIsNeverForgottenByACascade(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	ctx := t.Context()
	ws, _ := s.Workspace(ctx)
	kind := s.o.Catalog.Kind
	taken, refusedOnes := 0, 0
	for round := range 30 {
		consumer := insert(t, s, "consumers", entity.Object{"username": fmt.Sprint("u", round)})
		keys := make([]error, 4)
		var all sync.WaitGroup
		for i := range keys {
			o := made(t, s, "keyauth_credentials", entity.Object{"key": fmt.Sprintf("k%d.%d", round, i), "consumer": ref(consumer)})
			all.Go(func() { _, keys[i] = s.Insert(ctx, kind("keyauth_credentials"), o) })
		}
		all.Go(func() {
			if _, err := s.Delete(ctx, kind("consumers"), byID(consumer)); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		told := events(t, p)
		for i, err := range keys {
			want, n := fmt.Sprintf("keyauth_credentials:k%d.%d:::::%s", round, i, ws), 0
			for _, got := range told {
				if got == want {
					n++
				}
			}
			var refused *Error
			switch {
			case err == nil && n == 2:
				taken++
			case errors.As(err, &refused) && refused.Code == codeForeignKey && n == 0:
				refusedOnes++
			default:
				t.Errorf("round %d: credential %d: %v, told %d times", round, i, err, n)
			}
		}
	}
	t.Logf("%d credentials went along, %d were refused", taken, refusedOnes)
	if n := count(t, p, "keyauth_credentials"); n != "0" {
		t.Errorf("%s credentials without a consumer", n)
	}
}

// PUTs of one name and deletions of it at once: nobody fails, and there is one entity or none.
func TestReplacingAndDeletingAtOnce(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	ctx := t.Context()
	k := s.o.Catalog.Kind("services")
	by := entity.Key{Field: "name", Value: "s"}
	for round := range 15 {
		var all sync.WaitGroup
		for range 3 {
			o := made(t, s, "services", entity.Object{"name": "s", "host": "h"})
			all.Go(func() {
				if _, err := s.Upsert(ctx, k, by, o); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if _, err := s.Delete(ctx, k, by); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if n := count(t, p, "services"); n > "1" {
			t.Errorf("round %d: %s services", round, n)
		}
	}
}

// Children change their fields, and their parents go, in opposite orders: nobody fails.
func TestDeadlocksAreNotTheCallersBusiness(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	ctx := t.Context()
	kind := s.o.Catalog.Kind
	for round := range 10 {
		service := insert(t, s, "services", entity.Object{"host": "h"})
		consumer := insert(t, s, "consumers", entity.Object{"username": fmt.Sprint("u", round)})
		plugin := insert(t, s, "plugins", entity.Object{"name": "anything", "service": ref(service), "consumer": ref(consumer)})
		var all sync.WaitGroup
		for _, change := range []func() error{
			func() error { _, err := s.Delete(ctx, kind("consumers"), byID(consumer)); return err },
			func() error { _, err := s.Delete(ctx, kind("services"), byID(service)); return err },
			func() error {
				_, err := s.Update(ctx, kind("plugins"), byID(plugin), patch(entity.Object{"enabled": false}))
				if errors.Is(err, ErrNotFound) {
					return nil
				}
				return err
			},
		} {
			all.Go(func() {
				if err := change(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// An event that cannot be stored takes the change back with it.
func TestAChangeWithoutItsEventsDoesNotHappen(t *testing.T) {
	t.Parallel()
	for what, body := range map[string]string{
		"a trigger that swallows the row": "RETURN NULL;",
		"a trigger that raises":           "RAISE EXCEPTION 'boom';",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := primary(t)
			applied := 0
			s := node(t, p, func(o *Options) {
				o.Applied = func(context.Context, Change) { applied++ }
				o.Doubtful = func(Change) { t.Error("nothing is doubtful here") }
			})
			consumer := insert(t, s, "consumers", entity.Object{"username": "u"})
			events(t, p)
			applied = 0
			do(t, p, "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+body+" END $$")
			do(t, p, "CREATE TRIGGER spoil BEFORE INSERT ON cluster_events FOR EACH ROW EXECUTE FUNCTION spoil()")
			kind := s.o.Catalog.Kind
			ctx := t.Context()
			_, create := s.Insert(ctx, kind("services"), made(t, s, "services", entity.Object{"host": "h"}))
			_, change := s.Update(ctx, kind("consumers"), byID(consumer), patch(entity.Object{"username": "v"}))
			_, put := s.Upsert(ctx, kind("consumers"), entity.Key{Field: "username", Value: "w"}, made(t, s, "consumers", entity.Object{"username": "w"}))
			_, remove := s.Delete(ctx, kind("consumers"), byID(consumer))
			for op, err := range map[string]error{"create": create, "change": change, "put": put, "delete": remove} {
				var refused *Error
				if err == nil || errors.As(err, &refused) || errors.Is(err, ErrDoubtful) {
					t.Errorf("%s: %v", op, err)
				}
			}
			if s, c := count(t, p, "services"), count(t, p, "consumers WHERE username = 'u'"); s != "0" || c != "1" {
				t.Errorf("%s services, %s unchanged consumers", s, c)
			}
			if got := events(t, p); len(got) > 0 || applied > 0 {
				t.Errorf("told of %q, applied %d", got, applied)
			}
		})
	}
}

// The answer to a COMMIT is lost after the server has committed: an error, and a doubt.
func TestALostAnswerIsADoubt(t *testing.T) {
	t.Parallel()
	p := primary(t)
	wire := newWire(t, p.Primary().HostPort())
	var doubts []Change
	s := node(t, p, func(o *Options) {
		o.Primary.Host, o.Primary.Port = "127.0.0.1", wire.port()
		o.Primary.Timeout = time.Second
		o.Applied = func(context.Context, Change) { t.Error("a doubt must not be applied") }
		o.Doubtful = func(c Change) { doubts = append(doubts, c) }
	})
	wire.muteAfter("COMMIT")
	o := made(t, s, "services", entity.Object{"host": "h"})
	_, err := s.Insert(t.Context(), s.o.Catalog.Kind("services"), o)
	if !errors.Is(err, ErrDoubtful) {
		t.Fatalf("got %v", err)
	}
	if len(doubts) != 1 || len(doubts[0].Keys) != 1 || len(doubts[0].EventIDs) != 1 || doubts[0].Position != 0 {
		t.Errorf("doubts %+v", doubts)
	}
	if n := count(t, p, "services"); n != "1" {
		t.Errorf("%s services: this test wants the commit to have happened", n)
	}
}

// A change that could not even be sent is no doubt, nor is one whose answer was an error.
func TestAFailureThatIsCertainIsNoDoubt(t *testing.T) {
	t.Parallel()
	p := primary(t)
	wire := newWire(t, p.Primary().HostPort())
	s := node(t, p, func(o *Options) {
		o.Primary.Host, o.Primary.Port = "127.0.0.1", wire.port()
		o.Primary.Timeout = time.Second
		o.Doubtful = func(Change) { t.Error("nothing is doubtful here") }
	})
	o := made(t, s, "services", entity.Object{"host": "h"})
	wire.cut()
	if _, err := s.Insert(t.Context(), s.o.Catalog.Kind("services"), o); err == nil {
		t.Error("no error without a database")
	}
	wire.heal()
	do(t, p, "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'late'; END $$")
	do(t, p, "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON services DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()")
	if _, err := s.Insert(t.Context(), s.o.Catalog.Kind("services"), o); err == nil || errors.Is(err, ErrDoubtful) {
		t.Errorf("a COMMIT that was refused: %v", err)
	}
	if n := count(t, p, "services"); n != "0" {
		t.Errorf("%s services", n)
	}
}

// The server gives up a wait before the node does: the connection survives and nothing is doubtful.
func TestAWaitForALockIsBounded(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, func(o *Options) { o.Primary.Timeout = time.Second })
	service := insert(t, s, "services", entity.Object{"host": "h"})
	conn, err := pgx.Connect(t.Context(), p.Primary().URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT 1 FROM services FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = s.Update(t.Context(), s.o.Catalog.Kind("services"), byID(service), patch(entity.Object{"host": "x"}))
	if err == nil || errors.Is(err, ErrDoubtful) || time.Since(began) > time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// The client going away does not turn a write into a doubt.
func TestAWriteOutlivesItsClient(t *testing.T) {
	t.Parallel()
	p := primary(t)
	ctx, leave := context.WithCancel(t.Context())
	applied := 0
	s := node(t, p, func(o *Options) {
		o.Applied = func(ctx context.Context, _ Change) {
			applied++
			if ctx.Err() != nil {
				t.Error("applied with a context that has ended")
			}
		}
	})
	service := insert(t, s, "services", entity.Object{"host": "h"})
	_, err := s.Update(ctx, s.o.Catalog.Kind("services"), byID(service), func(old entity.Object) (entity.Object, error) {
		leave()
		return old, nil
	})
	if err != nil || applied != 2 {
		t.Errorf("%v, applied %d", err, applied)
	}
	if _, err := s.Insert(ctx, s.o.Catalog.Kind("services"), service); !errors.Is(err, context.Canceled) {
		t.Errorf("a write that nobody waits for any more: %v", err)
	}
}

// nbf is the write's time by the database's clock and the delay, to the fraction.
func TestNotBeforeKeepsFractions(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, func(o *Options) { o.Propagation = 1250 * time.Millisecond })
	insert(t, s, "services", entity.Object{"host": "h"})
	got, err := p.Value(t.Context(), "SELECT (extract(epoch FROM nbf - at)::float8)::text || ' ' || (extract(epoch FROM expire_at - at)::float8)::text || ' ' || (xid IS NOT NULL)::text FROM cluster_events")
	if err != nil || got != "1.25 3600 true" {
		t.Errorf("%q %v", got, err)
	}
}

// A merge that refuses leaves everything as it was, and its error comes back as it is.
func TestAMergeMayRefuse(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	service := insert(t, s, "services", entity.Object{"host": "h"})
	events(t, p)
	no := errors.New("no")
	_, err := s.Update(t.Context(), s.o.Catalog.Kind("services"), byID(service), func(old entity.Object) (entity.Object, error) {
		old["host"] = "x"
		return nil, no
	})
	if err != no {
		t.Errorf("got %v", err)
	}
	got, err := s.Get(t.Context(), s.o.Catalog.Kind("services"), byID(service))
	same(t, "after a refusal", got, service, err)
	if told := events(t, p); len(told) > 0 {
		t.Errorf("told of %q", told)
	}
}

func TestDeletionsOfEventsAreRecorded(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	insert(t, s, "consumers", entity.Object{"username": "u"})
	events(t, p)
	do(t, p, "DELETE FROM cluster_events") // nothing there, nothing to record
	insert(t, s, "services", entity.Object{"host": "h"})
	do(t, p, "TRUNCATE cluster_events")
	insert(t, s, "services", entity.Object{"host": "h"})
	do(t, p, `DO $$ BEGIN
		SET LOCAL session_replication_role = replica;
		DELETE FROM cluster_events;
	END $$`)
	if n := count(t, p, "cluster_events"); n != "0" {
		t.Fatalf("%s events left", n)
	}
	got, err := p.Value(t.Context(), "SELECT string_agg((highest = '18446744073709551615' OR highest < xid)::text, ' ' ORDER BY id) FROM cluster_event_deletions")
	if err != nil || got != "true true" {
		t.Errorf("recorded %q, %v", got, err)
	}
}

func TestDefectsBreakWhatTheySay(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		defects Defects
		broken  func(t *testing.T, p *postgres.Pair, s *Store, applied *int) bool
	}{
		"own by poll": {Defects{OwnByPoll: true}, func(t *testing.T, p *postgres.Pair, s *Store, applied *int) bool {
			insert(t, s, "services", entity.Object{"host": "h"})
			return *applied == 0 && len(events(t, p)) == 1
		}},
		"forget cascade": {Defects{ForgetCascade: true}, func(t *testing.T, p *postgres.Pair, s *Store, _ *int) bool {
			consumer := insert(t, s, "consumers", entity.Object{"username": "u"})
			insert(t, s, "keyauth_credentials", entity.Object{"key": "k", "consumer": ref(consumer)})
			events(t, p)
			_, err := s.Delete(t.Context(), s.o.Catalog.Kind("consumers"), byID(consumer))
			return err == nil && len(events(t, p)) == 2 && count(t, p, "keyauth_credentials") == "0"
		}},
		"no events": {Defects{NoEvents: true}, func(t *testing.T, p *postgres.Pair, s *Store, applied *int) bool {
			insert(t, s, "services", entity.Object{"host": "h"})
			return *applied == 1 && len(events(t, p)) == 0
		}},
		"late events": {Defects{LateEvents: true}, func(t *testing.T, p *postgres.Pair, s *Store, _ *int) bool {
			do(t, p, "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'boom'; END $$")
			do(t, p, "CREATE TRIGGER spoil BEFORE INSERT ON cluster_events FOR EACH ROW EXECUTE FUNCTION spoil()")
			insert(t, s, "services", entity.Object{"host": "h"})
			s.late.Wait()
			do(t, p, "DROP TRIGGER spoil ON cluster_events")
			insert(t, s, "services", entity.Object{"host": "h"})
			s.late.Wait()
			return count(t, p, "services") == "2" && len(events(t, p)) == 1
		}},
		"delete parent": {Defects{DeleteParent: true}, func(t *testing.T, p *postgres.Pair, s *Store, _ *int) bool {
			service := insert(t, s, "services", entity.Object{"host": "h"})
			route := insert(t, s, "routes", entity.Object{"paths": []any{"/a"}, "service": ref(service)})
			insert(t, s, "plugins", entity.Object{"name": "anything", "route": ref(route)})
			_, err := s.Delete(t.Context(), s.o.Catalog.Kind("services"), byID(service))
			return err == nil && count(t, p, "routes") == "0" && count(t, p, "plugins") == "0"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, applied := primary(t), 0
			s := node(t, p, func(o *Options) {
				o.Defects = rule.defects
				o.Applied = func(context.Context, Change) { applied++ }
			})
			if !rule.broken(t, p, s, &applied) {
				t.Errorf("%+v breaks nothing", rule.defects)
			}
		})
	}
}

// A wire is a TCP link that can be cut, and that can swallow answers once a text went through it.
type wire struct {
	listener net.Listener
	upstream string
	all      sync.WaitGroup

	mu    sync.Mutex
	isCut bool
	until string // after this text nothing comes back
	open  []net.Conn
	quiet chan struct{} // closed: what was open by then is silent for ever
}

func newWire(t *testing.T, upstream string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, upstream: upstream, quiet: make(chan struct{})}
	w.all.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.cut()
		w.all.Wait()
	})
	return w
}

func (w *wire) port() int { return w.listener.Addr().(*net.TCPAddr).Port }

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for _, c := range w.open {
		_ = c.Close()
	}
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}

// silence leaves every open connection open and carries nothing more on it; new ones work.
func (w *wire) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.quiet)
	w.quiet = make(chan struct{})
}

func (w *wire) muteAfter(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = text
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.upstream)
		w.mu.Lock()
		if err != nil || w.isCut {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			w.mu.Unlock()
			continue
		}
		w.open = append(w.open, client, server)
		quiet, mute := w.quiet, make(chan struct{})
		w.mu.Unlock()
		w.all.Go(func() {
			w.carry(server, client, func(b []byte) bool { w.watch(b, mute); return !closed(quiet) })
		})
		w.all.Go(func() {
			w.carry(client, server, func([]byte) bool { return !closed(mute) && !closed(quiet) })
		})
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// watch closes mute when the text went by.
func (w *wire) watch(b []byte, mute chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until != "" && strings.Contains(string(b), w.until) {
		close(mute)
		w.until = ""
	}
}

func (w *wire) carry(to, from net.Conn, pass func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && pass(buffer[:n]) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
