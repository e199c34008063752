package store

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// ErrNotFound says that there is no such entity.
var ErrNotFound = errors.New("no such entity")

// ErrRefused says that a change was taken back because its events could not be stored: what the
// other nodes could not learn of must not happen.
var ErrRefused = errors.New("the change was not stored together with its events")

// ErrDoubtful says that the answer to a COMMIT was lost: the change happened, or it did not.
var ErrDoubtful = errors.New("the database may or may not have committed")

// An Error is what the Admin API answers to a change that the database refuses.
type Error struct {
	Code          int
	Name, Message string
	Fields        map[string]any
}

func (e *Error) Error() string { return e.Message }

// Is makes an Error of code 6 an ErrNotFound.
func (e *Error) Is(target error) bool { return target == ErrNotFound && e.Code == codeNotFound }

// The codes of the Admin API that a database can cause.
const (
	codeSchema     = 2
	codePrimaryKey = 3
	codeForeignKey = 4
	codeUnique     = 5
	codeNotFound   = 6
	codeUnresolved = 13
)

func notFound(by entity.Key) *Error {
	fields := map[string]any{by.Field: by.Value}
	e := &Error{Code: codeNotFound, Name: "not found", Fields: fields}
	if e.Message = "could not find the entity with " + quoted(fields); by.Field == "id" {
		e.Message = "could not find the entity with primary key " + quoted(fields)
	}
	return e
}

func dangling(f *schema.Field, value any) *Error {
	return &Error{
		Code: codeForeignKey, Name: "foreign key violation",
		Message: fmt.Sprintf("the foreign key %s does not reference an existing '%s' entity.", quoted(value), f.Reference),
		Fields:  map[string]any{f.Name: value},
	}
}

func referenced(kind, by string) *Error {
	return &Error{
		Code: codeForeignKey, Name: "foreign key violation",
		Message: fmt.Sprintf("an existing '%s' entity references this '%s' entity", by, kind),
		Fields:  map[string]any{"@referenced_by": by},
	}
}

func unresolved(f *schema.Field, key entity.Key) *Error {
	cause := fmt.Sprintf("the foreign key cannot be resolved with %s for an existing '%s' entity",
		quoted(map[string]any{key.Field: key.Value}), f.Reference)
	return &Error{
		Code: codeUnresolved, Name: "foreign keys unresolved",
		Message: fmt.Sprintf("foreign key unresolved (%s.%s: %s)", f.Name, key.Field, cause),
		Fields:  map[string]any{f.Name: map[string]any{key.Field: cause}},
	}
}

// refusal translates what PostgreSQL says about a write of o (nil: a deletion) into the Admin API's
// words. Any other error comes back as it is.
func (t *table) refusal(err error, o entity.Object) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case pg.Code == "23505":
		return t.duplicate(pg, o)
	case pg.Code == "23503" && o == nil:
		return referenced(t.name, pg.TableName)
	case pg.Code == "23503":
		for _, c := range t.columns {
			if pg.ConstraintName == t.name+"_"+c.name+"_fkey" {
				return dangling(c.field, o[c.field.Name])
			}
		}
	case pg.Code == "54000":
		return t.unindexable(o)
	case strings.HasPrefix(pg.Code, "22"): // a value that passed the schema but cannot be stored
		return violation("@entity", []any{pg.Message}, pg.Message)
	}
	return err
}

const tooLong = "is too long to be indexed"

// unindexable refuses a value that is longer than an index can hold, about 2700 bytes after
// compression. PostgreSQL's own words tell of pages, and not always which value.
func (t *table) unindexable(o entity.Object) error {
	for _, unique := range t.kind.Unique {
		if field := unique[0]; len(unique) == 1 && len(entity.Value(o, field)) > 2600 {
			return violation(field, tooLong, field+": "+tooLong)
		}
	}
	text := "a value " + tooLong
	return violation("@entity", []any{text}, text)
}

func violation(field string, why any, text string) *Error {
	return &Error{
		Code: codeSchema, Name: "schema violation", Message: "schema violation (" + text + ")",
		Fields: map[string]any{field: why},
	}
}

func (t *table) duplicate(pg *pgconn.PgError, o entity.Object) error {
	if pg.ConstraintName == t.name+"_pkey" {
		fields := map[string]any{"id": o["id"]}
		return &Error{
			Code: codePrimaryKey, Name: "primary key violation",
			Message: "primary key violation on key " + quoted(fields), Fields: fields,
		}
	}
	for _, unique := range t.kind.Unique {
		fields := map[string]any{}
		for _, f := range unique {
			fields[f] = o[f]
		}
		if pg.ConstraintName == t.constraint(unique) {
			return &Error{
				Code: codeUnique, Name: "unique constraint violation",
				Message: "UNIQUE violation detected on " + quoted(fields), Fields: fields,
			}
		}
	}
	return pg
}

// constraint is the name that migrations/ give to a unique key.
func (t *table) constraint(unique []string) string {
	if len(unique) > 1 {
		return t.name + "_cache_key_unique"
	}
	return t.name + "_ws_id_" + unique[0] + "_unique"
}

// quoted writes a key as messages do: '{name="x",service=null}'.
func quoted(v any) string { return "'" + literal(v) + "'" }

func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return `"` + v + `"`
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		sort.Strings(names)
		for i, name := range names {
			names[i] = name + "=" + literal(v[name])
		}
		return "{" + strings.Join(names, ",") + "}"
	}
	return fmt.Sprint(v)
}
