package admin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tidemark/fixtures/postgres"
	"tidemark/gateway/store"
)

// A database makes handlers over the real store, each with a server of its own.
type database struct{ template *postgres.Template }

func openStore(a postgres.Addr) (*store.Store, error) {
	return store.Open(store.Options{
		Catalog: catalogue(), NodeID: uuid.NewString(), PollDeadline: time.Second,
		Primary: store.Server{Host: a.Host, Port: a.Port, User: a.User, Database: a.Database, Timeout: 5 * time.Second},
	})
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	template, err := postgres.NewTemplate(t.Context(), postgres.TemplateOptions{Prepare: func(ctx context.Context, a postgres.Addr) error {
		s, err := openStore(a)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Migrate(ctx)
		return err
	}})
	if errors.Is(err, postgres.ErrNotFound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := template.Close(); err != nil {
			t.Error(err)
		}
	})
	return &database{template}
}

func (d *database) fixture(t *testing.T) (*fixture, *postgres.Pair) {
	t.Helper()
	pair, err := d.template.ClonePrimary(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pair.Stop() }) // stopped by a test already
	s, err := openStore(pair.Primary())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &fixture{plane: New(Options{
		Catalog: catalogue(), Store: s, Cache: &shelf{values: map[string]any{}}, MaxBody: 1 << 20,
	}).(*plane)}, pair
}

func TestOnPostgreSQL(t *testing.T) {
	d := newDatabase(t)
	f, pair := d.fixture(t)
	b := &binding{ids: map[string]string{}}
	for _, file := range recordings {
		for _, e := range exchanges(t, file) {
			t.Run(strings.TrimSuffix(file, ".jsonl")+"/"+e.Name, func(t *testing.T) { replay(t, f, b, e) })
		}
	}
	t.Run("what a database would choke on", func(t *testing.T) { choke(t, f) })
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			f, _ := d.fixture(t)
			rule(t, f)
		})
	}
	if err := pair.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Run("a database that went away", func(t *testing.T) { away(t, f) })
}

// choke sends what passes a careless check and then fails in the database: none of it is a 500.
func choke(t *testing.T, f *fixture) {
	random := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 60_000)
	for i := range long {
		long[i] = byte('a' + random.IntN(26))
	}
	f.must(t, 201, `POST /services {"name":"choke","host":"a.test"}`)
	f.must(t, 201, `POST /consumers {"username":"choke"}`)
	for _, request := range []string{
		fmt.Sprintf(`POST /services {"name":"%s","host":"a.test"}`, long),
		fmt.Sprintf(`PUT /services/%s {"host":"a.test"}`, long),
		fmt.Sprintf(`GET /services/%s`, long),
		fmt.Sprintf(`POST /services {"host":"a.test","path":"/%s"}`, long),
		fmt.Sprintf(`POST /services {"host":"a.test","tags":["%s"]}`, long),
		fmt.Sprintf(`GET /services?tags=%s`, long),
		fmt.Sprintf(`POST /consumers {"username":"%s"}`, long),
		fmt.Sprintf(`POST /consumers {"custom_id":"%s"}`, long),
		fmt.Sprintf(`GET /consumers?custom_id=%s`, long),
		fmt.Sprintf(`POST /consumers/choke/key-auth {"key":"%s"}`, long),
		fmt.Sprintf(`POST /plugins {"name":"key-auth","instance_name":"%s"}`, long),
		fmt.Sprintf(`POST /plugins {"name":"nested","config":{"headers":{"%s":"x"}}}`, long),
		`POST /services {"host":"a.test","created_at":9223372036854775807}`,
		`POST /services {"host":"a.test","created_at":-1}`,
		`PATCH /services/choke {"updated_at":9223372036854775807}`,
		`POST /services {"host":"a.test","retries":9223372036854775807}`,
		`POST /routes {"paths":["/a"],"regex_priority":9223372036854775807}`,
		`POST /routes {"paths":["/a"],"regex_priority":-9223372036854775808}`,
		`POST /plugins {"name":"nested","config":{"queue":{"size":9223372036854775807,"delay":1e308}}}`,
		`POST /consumers/choke/key-auth {"ttl":100000000}`,
		`POST /consumers/choke/key-auth {"ttl":0}`,
		`POST /consumers/choke/key-auth {"created_at":253402300799,"ttl":100000000}`,
		`POST /services {"host":"a.test","id":"00000000-0000-0000-0000-000000000000"}`,
		`POST /services {"host":"a.test","id":"x"}`,
		`POST /services {"host":"a.test","id":null}`,
		`PUT /services/AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA {"host":"a.test"}`,
		`GET /services/AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA`,
		`POST /services {"host":"a.test","name":"\ud800"}`,
		`POST /services {"host":"a.test","tags":["\uffff","\u0001"]}`,
		`GET /services?offset=WyIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDAiXQ&size=1000`,
		`GET /services?tags=%27%7B%7D%22%5C`,
	} {
		if w := f.ask(request); w.Code >= 500 {
			t.Errorf("%.120s: %d %s", request, w.Code, w.Body)
		}
	}
}

// BenchmarkCreate is the handler without a database: what the Admin API adds to a write.
func BenchmarkCreate(b *testing.B) {
	f := newFixture(b)
	for i := 0; b.Loop(); i++ {
		r := httptest.NewRequest("POST", "/services", strings.NewReader(fmt.Sprintf(`{"name":"s%d","url":"http://a.test/x"}`, i)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != 201 {
			b.Fatal(w.Body)
		}
		if i%100 == 0 {
			clear(f.store.rows["services"]) // or the fake's own search is measured
		}
	}
}
