package store

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/fixtures/postgres"
	"tidemark/gateway/entity"
)

// BenchmarkInsert compares the creation of a service with what it cannot do without: BEGIN, the
// INSERT of the service and of its event, COMMIT, over plain pgx. Both take turns, so that both see
// the same machine. ns/op counts both.
func BenchmarkInsert(b *testing.B) {
	p := primary(b)
	s := node(b, p, nil)
	bare := plainPool(b, p)
	kind := s.o.Catalog.Kind("services")
	workspace, err := s.Workspace(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var ours, theirs []time.Duration
	for b.Loop() {
		id, name := uuid.NewString(), uuid.NewString()
		o := made(b, s, "services", entity.Object{"name": uuid.NewString(), "host": "example.com"})
		began := time.Now()
		if err := plainInsert(b.Context(), bare, id, name, workspace); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if _, err := s.Insert(b.Context(), kind, o); err != nil {
			b.Fatal(err)
		}
		theirs, ours = append(theirs, between.Sub(began)), append(ours, time.Since(between))
	}
	report(b, ours, theirs)
}

// BenchmarkSnapshot is what a build reads: 1000 routes.
func BenchmarkSnapshot(b *testing.B) {
	p := primary(b)
	s := node(b, p, nil)
	service := insert(b, s, "services", entity.Object{"host": "example.com"})
	insert(b, s, "routes", entity.Object{"paths": []any{"/a"}, "service": ref(service)})
	do(b, p, `INSERT INTO routes SELECT (r).* FROM (SELECT jsonb_populate_record(routes, jsonb_build_object('id', gen_random_uuid())) AS r
		FROM routes, generate_series(2, 1000)) AS copies`)
	for b.Loop() {
		snap, err := s.Snapshot(b.Context())
		if err != nil || len(snap.Routes) != 1000 {
			b.Fatal(len(snap.Routes), err)
		}
	}
}

func plainPool(b *testing.B, p *postgres.Pair) *pgxpool.Pool {
	b.Helper()
	pool, err := pgxpool.New(b.Context(), p.Primary().URL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

func plainInsert(ctx context.Context, pool *pgxpool.Pool, id, name, workspace string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO services (id, created_at, updated_at, name, retries, protocol, host, port,
			connect_timeout, write_timeout, read_timeout, enabled, ws_id)
			VALUES ($1, now(), now(), $2, 5, 'http', 'example.com', 80, 60000, 60000, 60000, true, $3)`, id, name, workspace)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)
			VALUES ($1, $2, now(), now() + interval '1 hour', $3, $4)`, uuid.NewString(), id, entity.ChannelCore, "services:"+id)
		return err
	})
}

// report gives the medians and their ratio.
func report(b *testing.B, ours, theirs []time.Duration) {
	b.Helper()
	slices.Sort(ours)
	slices.Sort(theirs)
	our, their := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(float64(our.Microseconds()), "µs-median")
	b.ReportMetric(float64(their.Microseconds()), "µs-plain-pgx")
	b.ReportMetric(float64(our)/float64(their), "times-plain-pgx")
}
