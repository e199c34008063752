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

// A Migration is what Migrate did: the schema's version before, 0 where there was none, and after.
type Migration struct{ From, To int32 }

// String tells it to whoever asked for it.
func (m Migration) String() string {
	switch m.From {
	case m.To:
		return fmt.Sprintf("the schema was up to date already (version %d)", m.To)
	case 0:
		return fmt.Sprintf("the schema was created (version %d)", m.To)
	}
	return fmt.Sprintf("the schema was brought from version %d to %d", m.From, m.To)
}

// Migrate creates the schema or brings it up to date. It may be called again, and by several nodes
// at once: an advisory lock lets one work while the others wait, until ctx ends.
func (s *Store) Migrate(ctx context.Context) (Migration, error) {
	done := Migration{From: schemaVersion, To: schemaVersion}
	err := s.migrate(ctx, func(version int32, name, _, _ string) {
		done.From = min(done.From, version-1)
		s.log.Info("migrating", "version", version, "file", name)
	})
	if err != nil {
		return Migration{}, fmt.Errorf("migrate: %w", err)
	}
	return done, nil
}

func (s *Store) migrate(ctx context.Context, started func(version int32, name, _, _ string)) error {
	conn, err := s.o.Primary.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing) // the session's end releases the lock in any case
	}()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return err
	}
	if err := m.LoadMigrations(files); err != nil {
		return err
	}
	m.OnStart = started
	return m.Migrate(ctx)
}

func isUndefinedTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}
