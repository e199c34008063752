package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/fixtures/postgres"
	"tidemark/gateway/config"
	"tidemark/gateway/store"
)

// BenchmarkPostService is what a safe write costs: POST /services over a keep-alive connection to a
// node, whose database holds the service and its event when it answers, against BEGIN, two INSERTs
// and COMMIT over plain pgx. Both take turns on the same machine and database; ns/op counts both.
// The promise is times-plain-pgx <= 2.5.
func BenchmarkPostService(b *testing.B) {
	db := database(b)
	url := serve(b, db) + "/services"
	plain, err := pgxpool.New(b.Context(), db.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	var workspace string
	if err := plain.QueryRow(b.Context(), "SELECT id::text FROM workspaces").Scan(&workspace); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var ours, theirs []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := insertTwo(b.Context(), plain, uuid.NewString(), workspace); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if err := post(client, url, `{"name":"`+uuid.NewString()+`","host":"example.com"}`); err != nil {
			b.Fatal(err)
		}
		theirs, ours = append(theirs, between.Sub(began)), append(ours, time.Since(between))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	our, their := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(float64(our.Microseconds()), "µs-post")
	b.ReportMetric(float64(their.Microseconds()), "µs-plain-pgx")
	b.ReportMetric(float64(our)/float64(their), "times-plain-pgx")
}

func insertTwo(ctx context.Context, pool *pgxpool.Pool, id, workspace string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO services (id, created_at, updated_at, name, retries, protocol, host, port,
			connect_timeout, write_timeout, read_timeout, enabled, ws_id)
			VALUES ($1, now(), now(), $2, 5, 'http', 'example.com', 80, 60000, 60000, 60000, true, $3)`, id, id, workspace)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)
			VALUES ($1, $1, now(), now() + interval '1 hour', 'invalidations', $2)`, id, "services:"+id)
		return err
	})
}

func post(client *http.Client, url, body string) error {
	answer, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusCreated {
		err = fmt.Errorf("POST %s: %s: %s", url, answer.Status, text)
	}
	return err
}

// database is an empty one.
func database(b *testing.B) postgres.Addr {
	b.Helper()
	template, err := postgres.NewTemplate(b.Context(), postgres.TemplateOptions{})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() {
		if err := template.Close(); err != nil {
			b.Error(err)
		}
	})
	pair, err := template.ClonePrimary(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	return pair.Primary()
}

// serve runs a node in this process until the benchmark ends and returns the URL of its Admin API
// once the node is ready.
func serve(b *testing.B, db postgres.Addr) string {
	b.Helper()
	cfg, _, err := config.Load("", []string{
		"KONG_PG_HOST=" + db.Host, fmt.Sprintf("KONG_PG_PORT=%d", db.Port), "KONG_PG_USER=" + db.User, "KONG_PG_DATABASE=" + db.Database,
		"KONG_PROXY_LISTEN=127.0.0.1:0", "KONG_ADMIN_LISTEN=127.0.0.1:0", "KONG_STATUS_LISTEN=127.0.0.1:0",
	})
	if err != nil {
		b.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	s, err := store.Open(store.Options{Primary: cfg.Postgres, NodeID: cfg.NodeID, Catalog: catalog(cfg, plugins(cfg, nil, nil))})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "addresses.json")
	ctx, stop := context.WithCancel(context.Background())
	var node sync.WaitGroup
	node.Go(func() {
		if err := run(ctx, cfg, file, quiet); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() {
		stop()
		node.Wait()
	})
	var addresses struct{ Admin, Status []string }
	eventually(b, func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &addresses)
	})
	eventually(b, func() error {
		answer, err := http.Get("http://" + addresses.Status[0] + "/status/ready")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", answer.Status)
		}
		return nil
	})
	return "http://" + addresses.Admin[0]
}

// eventually tries until it works, for 10 s.
func eventually(b *testing.B, try func() error) {
	b.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err = try(); err == nil {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	b.Fatal(err)
}
