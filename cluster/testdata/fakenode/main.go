// Command fakenode does of a gateway what the driver can see: it listens, says where, and polls.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const schema = `
CREATE TABLE IF NOT EXISTS cluster_events (id int, data text);
CREATE TABLE IF NOT EXISTS deletions (n int);
CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO deletions VALUES (1); RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER deleted AFTER DELETE ON cluster_events FOR EACH STATEMENT EXECUTE FUNCTION note()`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fakenode:", err)
		os.Exit(70)
	}
}

func dsn(prefix string) string {
	return fmt.Sprintf("postgres://%s@%s:%s/%s?sslmode=disable&connect_timeout=1", os.Getenv("FAKE_PG_USER"),
		os.Getenv(prefix+"HOST"), os.Getenv(prefix+"PORT"), os.Getenv("FAKE_PG_DATABASE"))
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if args[0] == "migrate" {
		conn, err := pgx.Connect(ctx, dsn("FAKE_PG_"))
		if err != nil {
			return err
		}
		_, err = conn.PgConn().Exec(ctx, schema).ReadAll()
		return err
	}
	if os.Getenv("FAKE_BROKEN") == "yes" {
		return fmt.Errorf("broken, as asked for")
	}
	addresses := map[string][]string{}
	for _, what := range []string{"proxy", "admin", "status"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addresses[what] = []string{l.Addr().String()}
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			json.NewEncoder(w).Encode(map[string]any{"listener": what, "pid": os.Getpid(), "args": os.Args, "env": os.Environ()})
		}))
	}
	data, _ := json.Marshal(addresses)
	if err := os.WriteFile(args[1]+".new", data, 0o644); err != nil {
		return err
	}
	if err := os.Rename(args[1]+".new", args[1]); err != nil {
		return err
	}
	poll(ctx, cmp.Or(os.Getenv("FAKE_PG_RO_HOST"), ""))
	return nil
}

func poll(ctx context.Context, replica string) {
	server := dsn("FAKE_PG_")
	if replica != "" {
		server = dsn("FAKE_PG_RO_")
	}
	var conn *pgx.Conn
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if conn == nil || conn.IsClosed() {
			conn, _ = pgx.Connect(ctx, server)
		}
		if conn != nil {
			within, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			_, err := conn.Exec(within, "/* poll */ SELECT count(*) FROM cluster_events", pgx.QueryExecModeExec)
			cancel()
			fmt.Fprintln(os.Stderr, "poll", err)
		}
	}
}
