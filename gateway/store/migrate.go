package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	versionTable  = "schema_version"
	schemaVersion = 2 // the number of files in migrations/
)

// ErrSchema says that the database lacks tables that this program needs.
var ErrSchema = errors.New("the database schema is not up to date: run `gateway migrate`")

// Migrate creates the schema or brings it up to date. It may be called again, and by several nodes
// at once: an advisory lock lets one work while the others wait, until ctx ends.
func (s *Store) Migrate(ctx context.Context) error {
	conn, err := s.o.Primary.connect(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing) // the session's end releases the lock in any case
	}()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := m.LoadMigrations(files); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	m.OnStart = func(version int32, name, _, _ string) {
		s.log.Info("migrating", "version", version, "file", name)
	}
	if err := m.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func isUndefinedTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}
