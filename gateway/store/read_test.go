package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/gateway/entity"
	"tidemark/gateway/event"
)

func TestListsArePagedInTheOrderOfIDs(t *testing.T) {
	t.Parallel()
	s := node(t, primary(t), nil)
	var want []string
	for i := range 7 {
		want = append(want, insert(t, s, "services", entity.Object{"name": fmt.Sprint("s", i), "host": "h"})["id"].(string))
	}
	slices.Sort(want)
	var got []string
	o := ListOptions{Size: 3}
	for pages := 1; ; pages++ {
		page, next, err := s.List(t.Context(), s.o.Catalog.Kind("services"), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			got = append(got, e["id"].(string))
		}
		if o.After = next; next == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestListsAreFiltered(t *testing.T) {
	t.Parallel()
	s := node(t, primary(t), nil)
	a := insert(t, s, "services", entity.Object{"name": "a", "host": "h", "tags": []any{"x", "y"}})
	b := insert(t, s, "services", entity.Object{"name": "b", "host": "h", "tags": []any{"y"}})
	insert(t, s, "services", entity.Object{"name": "c", "host": "h"})
	insert(t, s, "routes", entity.Object{"name": "ra", "paths": []any{"/a"}, "service": ref(a)})
	insert(t, s, "routes", entity.Object{"name": "rb", "paths": []any{"/b"}, "service": ref(b)})
	for what, rule := range map[string]struct {
		kind string
		o    ListOptions
		want []string
	}{
		"all of the tags":     {"services", ListOptions{Tags: []string{"x", "y"}}, []string{"a"}},
		"any of the tags":     {"services", ListOptions{Tags: []string{"x", "y"}, AnyTag: true}, []string{"a", "b"}},
		"a tag nobody has":    {"services", ListOptions{Tags: []string{"z"}}, nil},
		"of a parent":         {"routes", ListOptions{Where: map[string]string{"service": a["id"].(string)}}, []string{"ra"}},
		"of no possible one":  {"routes", ListOptions{Where: map[string]string{"service": "x"}}, nil},
		"by an unknown field": {"routes", ListOptions{Where: map[string]string{"x": "x"}}, nil},
		"by a value":          {"services", ListOptions{Where: map[string]string{"name": "c"}}, []string{"c"}},
	} {
		page, _, err := s.List(t.Context(), s.o.Catalog.Kind(rule.kind), rule.o)
		var got []string
		for _, e := range page {
			got = append(got, e["name"].(string))
		}
		if slices.Sort(got); err != nil || !slices.Equal(got, rule.want) {
			t.Errorf("%s: %q %v", what, got, err)
		}
	}
	_, _, err := s.List(t.Context(), s.o.Catalog.Kind("services"), ListOptions{Tags: []string{"\x00"}})
	var refused *Error
	if !errors.As(err, &refused) {
		t.Errorf("a zero byte in a tag: %v", err)
	}
}

func TestNothingThereIsSaidAsSuch(t *testing.T) {
	t.Parallel()
	s := node(t, primary(t), nil)
	k := s.o.Catalog.Kind("services")
	for _, by := range []entity.Key{
		{Field: "id", Value: uuid.NewString()},
		{Field: "id", Value: "no uuid"},
		{Field: "name", Value: "x"},
		{Field: "name", Value: "\x00"},
		{Field: "name", Value: "\xff"},
	} {
		if _, err := s.Get(t.Context(), k, by); !errors.Is(err, ErrNotFound) {
			t.Errorf("get %q: %v", by, err)
		}
		if o, err := s.Load(t.Context(), k, by, "x"); o != nil || err != nil {
			t.Errorf("load %q: %v %v", by, o, err)
		}
		if c, err := s.Delete(t.Context(), k, by); c.Found || err != nil {
			t.Errorf("delete %q: %+v %v", by, c, err)
		}
	}
}

// A credential is gone when its own ttl has passed, and a change of something else does not prolong it.
func TestAnExpiredCredentialIsGone(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	k := s.o.Catalog.Kind("keyauth_credentials")
	consumer := insert(t, s, "consumers", entity.Object{"username": "u"})
	credential := insert(t, s, "keyauth_credentials", entity.Object{"key": "k", "consumer": ref(consumer), "ttl": int64(50)})
	before, err := p.Value(t.Context(), "SELECT ttl::text FROM keyauth_credentials")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), k, byID(credential), patch(entity.Object{"tags": []any{"t"}})); err != nil {
		t.Fatal(err)
	}
	if after, err := p.Value(t.Context(), "SELECT ttl::text FROM keyauth_credentials"); after != before || err != nil {
		t.Errorf("ttl was %s, is %s, %v", before, after, err)
	}
	do(t, p, "UPDATE keyauth_credentials SET ttl = now() - interval '1 ms'")
	if _, err := s.Get(t.Context(), k, byID(credential)); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if o, err := s.Load(t.Context(), k, entity.Key{Field: "key", Value: "k"}, "x"); o != nil || err != nil {
		t.Errorf("load: %v %v", o, err)
	}
	if _, err := s.Update(t.Context(), k, byID(credential), patch(nil)); !errors.Is(err, ErrNotFound) {
		t.Errorf("update: %v", err)
	}
	if _, err := s.Upsert(t.Context(), k, byID(credential), made(t, s, "keyauth_credentials", entity.Object{"key": "k", "consumer": ref(consumer)})); err != nil {
		t.Errorf("replace: %v", err)
	}
	if o, err := s.Load(t.Context(), k, entity.Key{Field: "key", Value: "k"}, "x"); o == nil || o["ttl"] != nil || err != nil {
		t.Errorf("load after it was replaced: %v %v", o, err)
	}
	do(t, p, "UPDATE keyauth_credentials SET ttl = now() - interval '1 ms'")
	again := insert(t, s, "keyauth_credentials", entity.Object{"key": "k", "consumer": ref(consumer)})
	if o, err := s.Get(t.Context(), k, byID(again)); err != nil || o["key"] != "k" {
		t.Errorf("get what took the place of an expired key: %v %v", o, err)
	}
}

// The writer reads its own write while the replica stands still; another node reads the replica.
func TestTheWriterReadsItsOwnWrite(t *testing.T) {
	t.Parallel()
	p := withReplica(t)
	writer, other := node(t, p, nil), node(t, p, nil)
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.PauseReplay(t.Context()); err != nil {
		t.Fatal(err)
	}
	service := insert(t, writer, "services", entity.Object{"name": "s", "host": "h"})
	for who, rule := range map[string]struct {
		s    *Store
		sees bool
	}{"the writer": {writer, true}, "another node": {other, false}} {
		snap, err := rule.s.Snapshot(t.Context())
		if err != nil || (len(snap.Services) == 1) != rule.sees {
			t.Errorf("%s: snapshot of %d services, %v", who, len(snap.Services), err)
		}
		o, err := rule.s.Load(t.Context(), rule.s.o.Catalog.Kind("services"), byID(service), "services:x")
		if err != nil || (o != nil) != rule.sees {
			t.Errorf("%s: loaded %v, %v", who, o, err)
		}
		if _, err := rule.s.Get(t.Context(), rule.s.o.Catalog.Kind("services"), byID(service)); err != nil {
			t.Errorf("%s: the Admin API reads the primary: %v", who, err)
		}
	}
	if err := p.ResumeReplay(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A database that is away costs an error within the timeout, at the first use and not before.
func TestADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	p := primary(t)
	wire := newWire(t, p.Primary().HostPort())
	wire.cut()
	s := node(t, p, func(o *Options) {
		o.Primary.Host, o.Primary.Port, o.Primary.Timeout = "127.0.0.1", wire.port(), time.Second
	})
	k := s.o.Catalog.Kind("services")
	by := entity.Key{Field: "name", Value: "s"}
	uses := map[string]func(ctx context.Context) error{
		"ready":     s.Ready,
		"workspace": func(ctx context.Context) error { _, err := s.Workspace(ctx); return err },
		"get":       func(ctx context.Context) error { _, err := s.Get(ctx, k, by); return err },
		"list":      func(ctx context.Context) error { _, _, err := s.List(ctx, k, ListOptions{}); return err },
		"load":      func(ctx context.Context) error { _, err := s.Load(ctx, k, by, "x"); return err },
		"snapshot":  func(ctx context.Context) error { _, err := s.Snapshot(ctx); return err },
		"delete":    func(ctx context.Context) error { _, err := s.Delete(ctx, k, by); return err },
	}
	for what, use := range uses {
		began := time.Now()
		if err := use(t.Context()); err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrDoubtful) || time.Since(began) > 1500*time.Millisecond {
			t.Errorf("%s: %v after %v", what, err, time.Since(began))
		}
	}
	wire.heal()
	for what, use := range uses {
		if err := use(t.Context()); err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s after the return: %v", what, err)
		}
	}
}

// What sat in the pool through an outage is dead; nobody notices.
func TestDeadConnectionsAreNotTheCallersBusiness(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, func(o *Options) { o.Doubtful = func(Change) { t.Error("nothing is doubtful here") } })
	ctx := t.Context()
	service := insert(t, s, "services", entity.Object{"host": "h"})
	k := s.o.Catalog.Kind("services")
	for what, use := range map[string]func() error{
		"get":      func() error { _, err := s.Get(ctx, k, byID(service)); return err },
		"list":     func() error { _, _, err := s.List(ctx, k, ListOptions{}); return err },
		"load":     func() error { _, err := s.Load(ctx, k, byID(service), "x"); return err },
		"snapshot": func() error { _, err := s.Snapshot(ctx); return err },
		"insert": func() error {
			_, err := s.Insert(ctx, k, made(t, s, "services", entity.Object{"host": "h"}))
			return err
		},
		"update": func() error { _, err := s.Update(ctx, k, byID(service), patch(nil)); return err },
		"delete": func() error { _, err := s.Delete(ctx, k, entity.Key{Field: "name", Value: "x"}); return err },
	} {
		var all sync.WaitGroup // fill the pool
		for range 8 {
			all.Go(func() { _, _ = s.Snapshot(ctx) })
		}
		all.Wait()
		do(t, p, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemark'")
		if err := use(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What died in the pool without a sign costs one caller his time, not each of those who come after, and
// the node's stop no more than that.
func TestSilentConnectionsCostOneTimeout(t *testing.T) {
	t.Parallel()
	p := primary(t)
	k := catalog().Kind("services")
	by := entity.Key{Field: "name", Value: "x"}
	for what, use := range map[string]func(s *Store) error{
		"poll":     func(s *Store) error { _, err := s.Since(t.Context(), event.Cursor{}); return err },
		"get":      func(s *Store) error { _, err := s.Get(t.Context(), k, by); return err },
		"load":     func(s *Store) error { _, err := s.Load(t.Context(), k, by, "x"); return err },
		"snapshot": func(s *Store) error { _, err := s.Snapshot(t.Context()); return err },
		"delete":   func(s *Store) error { _, err := s.Delete(t.Context(), k, by); return err },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			wire := newWire(t, p.Primary().HostPort())
			s := node(t, p, func(o *Options) { o.Primary.Port, o.Primary.Timeout = wire.port(), time.Second })
			if err := use(s); err != nil && !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
			var held []*pgxpool.Conn
			for range 8 {
				c, err := s.primary.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, c)
			}
			for _, c := range held {
				c.Release()
			}
			wire.silence()
			if err := use(s); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("first: %v, want that the time was up", err)
			}
			if err := use(s); err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("second: %v", err)
			}
			began := time.Now()
			if s.Close(); time.Since(began) > 5*time.Second {
				t.Errorf("close took %v", time.Since(began))
			}
		})
	}
}
