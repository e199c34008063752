package main

import (
	"bytes"
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
	url := serve(b, db).admin() + "/services"
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
func database(tb testing.TB) postgres.Addr {
	tb.Helper()
	return databases(tb)(tb)
}

// template is what servers are copied from; there is no schema in it.
func template(tb testing.TB) *postgres.Template {
	tb.Helper()
	template, err := postgres.NewTemplate(tb.Context(), postgres.TemplateOptions{})
	if err != nil {
		tb.Skip(err)
	}
	tb.Cleanup(func() {
		if err := template.Close(); err != nil {
			tb.Error(err)
		}
	})
	return template
}

// databases gives as many empty ones as are asked for, of one server's making.
func databases(tb testing.TB) func(testing.TB) postgres.Addr {
	tb.Helper()
	template := template(tb)
	return func(tb testing.TB) postgres.Addr {
		tb.Helper()
		pair, err := template.ClonePrimary(tb.Context(), "")
		if err != nil {
			tb.Fatal(err)
		}
		return pair.Primary()
	}
}

// A served node runs in this process.
type served struct {
	Proxy, Admin, Status []string
	log                  *bytes.Buffer // to be read once it has stopped
	stop                 func()        // returns when the node has ended; may be called again
}

func (s *served) admin() string { return "http://" + s.Admin[0] }
func (s *served) proxy() string { return "http://" + s.Proxy[0] }

// serve runs a node until the test ends, and returns once it is ready.
func serve(b testing.TB, db postgres.Addr, environ ...string) *served {
	b.Helper()
	cfg, _, err := config.Load("", append([]string{
		"KONG_PG_HOST=" + db.Host, fmt.Sprintf("KONG_PG_PORT=%d", db.Port), "KONG_PG_USER=" + db.User, "KONG_PG_DATABASE=" + db.Database,
		"KONG_PROXY_LISTEN=127.0.0.1:0", "KONG_ADMIN_LISTEN=127.0.0.1:0", "KONG_STATUS_LISTEN=127.0.0.1:0",
	}, environ...))
	if err != nil {
		b.Fatal(err)
	}
	log := &bytes.Buffer{}
	s, err := store.Open(store.Options{Primary: cfg.Postgres, NodeID: cfg.NodeID, Catalog: catalog(cfg, plugins(cfg, nil, nil))})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "addresses.json")
	ctx, stop := context.WithCancel(context.Background())
	var node sync.WaitGroup
	node.Go(func() {
		if err := run(ctx, cfg, file, newLog(log, slog.LevelInfo)); err != nil {
			b.Error(err)
		}
	})
	n := &served{log: log, stop: func() {
		stop()
		node.Wait()
	}}
	b.Cleanup(n.stop)
	eventually(b, func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, n)
	})
	eventually(b, func() error {
		answer, err := http.Get("http://" + n.Status[0] + "/status/ready")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", answer.Status)
		}
		return nil
	})
	return n
}

// eventually tries until it works, for 10 s.
func eventually(b testing.TB, try func() error) {
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
