package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"tidemark/fixtures/postgres"
	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// template is one prepared data directory that every test's servers are copies of.
var template *postgres.Template

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	template, err = postgres.NewTemplate(ctx, postgres.TemplateOptions{Prepare: func(ctx context.Context, a postgres.Addr) error {
		s, err := Open(Options{Primary: server(a), Catalog: catalog()})
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Migrate(ctx)
		return err
	}})
	if errors.Is(err, postgres.ErrNotFound) {
		fmt.Println("skipped:", err)
		return 0, nil
	}
	if err != nil {
		return 1, err
	}
	code = m.Run()
	if err := template.Close(); err != nil {
		return 1, err
	}
	if err := goleak.Find(); err != nil {
		return 1, err
	}
	return code, nil
}

func catalog() *entity.Catalog {
	config := &schema.Schema{Name: "anything", Fields: []schema.Field{
		{Name: "depth", Type: schema.Integer}, {Name: "share", Type: schema.Number},
	}}
	return entity.NewCatalog([]entity.PluginSchema{
		{Name: "anything", Config: config, Enabled: true}, {Name: "other", Config: config, Enabled: true},
	})
}

func server(a postgres.Addr) Server {
	return Server{Host: a.Host, Port: a.Port, User: a.User, Database: a.Database, Timeout: 5 * time.Second}
}

// primary is a server of the test's own, with the schema and nothing else in it.
func primary(t testing.TB) *postgres.Pair {
	t.Helper()
	p, err := template.ClonePrimary(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// withReplica is a primary and its streaming replica.
func withReplica(t testing.TB) *postgres.Pair {
	t.Helper()
	p, err := template.Clone(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// node opens a store on p, as one node of a cluster has it. change may set more options.
func node(t testing.TB, p *postgres.Pair, change func(o *Options)) *Store {
	t.Helper()
	o := Options{Primary: server(p.Primary()), NodeID: uuid.NewString(), Catalog: catalog(), PollDeadline: time.Second}
	if p.Replica().Port != 0 {
		replica := server(p.Replica())
		o.Replica = &replica
	}
	if change != nil {
		change(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
