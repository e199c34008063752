package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// A form is how a field lies in its column.
type form int

const (
	plain    form = iota // uuid, text, bigint, double precision, boolean
	foreign              // {"id": …} <-> <field>_id uuid
	moment               // seconds since the epoch <-> timestamptz
	lifetime             // seconds that remain <-> timestamptz
	words                // list of strings <-> text[]
	document             // everything nested <-> jsonb
)

// A column is where a field is stored.
type column struct {
	name  string
	form  form
	field *schema.Field
}

// A table is what SQL has to know of a kind: all of it follows from the kind's schema.
type table struct {
	kind    *entity.Kind
	name    string // as SQL writes it
	columns []column
	byField map[string]*column
	scopes  bool   // has a cache_key column, unique
	list    string // the select list, in the order of columns
	insert  string // INSERT … VALUES (…), without ON CONFLICT and RETURNING
	expires bool   // has a lifetime column
}

func newTable(k *entity.Kind) *table {
	t := &table{kind: k, name: k.Name, byField: map[string]*column{}, scopes: k.Name == "plugins"}
	for i := range k.Schema.Fields {
		t.columns = append(t.columns, columnOf(&k.Schema.Fields[i]))
	}
	names, selected, values := []string{}, []string{}, []string{}
	for i := range t.columns {
		c := &t.columns[i]
		t.byField[c.field.Name] = c
		t.expires = t.expires || c.form == lifetime
		names = append(names, c.name)
		selected = append(selected, c.read())
		values = append(values, c.write(i+1))
	}
	names, values = append(names, "ws_id"), append(values, fmt.Sprintf("$%d", len(values)+1))
	if t.scopes {
		names, values = append(names, "cache_key"), append(values, fmt.Sprintf("$%d", len(values)+1))
	}
	t.list = strings.Join(selected, ", ")
	t.insert = "INSERT INTO " + t.name + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
	return t
}

func columnOf(f *schema.Field) column {
	switch {
	case f.Type == schema.Foreign:
		return column{name: f.Name + "_id", form: foreign, field: f}
	case f.Name == "ttl":
		return column{name: f.Name, form: lifetime, field: f}
	case f.Timestamp:
		return column{name: f.Name, form: moment, field: f}
	case (f.Type == schema.Array || f.Type == schema.Set) && f.Elements != nil && f.Elements.Type == schema.String:
		return column{name: f.Name, form: words, field: f}
	case f.Type == schema.String, f.Type == schema.Integer, f.Type == schema.Number, f.Type == schema.Boolean:
		return column{name: f.Name, form: plain, field: f}
	}
	return column{name: f.Name, form: document, field: f}
}

// read is the expression of a select list. A lifetime is measured by the database's clock.
func (c column) read() string {
	if c.form == lifetime {
		return "extract(epoch FROM " + c.name + " - clock_timestamp())::float8"
	}
	return c.name
}

// write is the expression that stores argument n.
func (c column) write(n int) string {
	if c.form == lifetime {
		return fmt.Sprintf("clock_timestamp() + make_interval(secs => $%d)", n)
	}
	return fmt.Sprintf("$%d", n)
}

// alive is the condition that leaves out what has outlived its own ttl.
func (t *table) alive() string {
	if t.expires {
		return " AND (ttl IS NULL OR ttl > clock_timestamp())"
	}
	return ""
}

// match is the condition that selects what by addresses, with its arguments from $1 on.
func (t *table) match(by entity.Key, workspace string) (string, []any) {
	if by.Field == "id" {
		return "id = $1", []any{by.Value}
	}
	return "ws_id = $2 AND " + t.byField[by.Field].name + " = $1", []any{by.Value, workspace}
}

// conflict is the unique key that by addresses.
func (t *table) conflict(by entity.Key) string {
	if by.Field == "id" {
		return "(id)"
	}
	return "(ws_id, " + t.byField[by.Field].name + ")"
}

// arguments are the values of o for insert.
func (t *table) arguments(o entity.Object, workspace string) ([]any, error) {
	args := make([]any, 0, len(t.columns)+2)
	for _, c := range t.columns {
		v, err := c.encode(o[c.field.Name])
		if err != nil {
			return nil, fmt.Errorf("store %s.%s: %w", t.name, c.field.Name, err)
		}
		args = append(args, v)
	}
	args = append(args, workspace)
	if t.scopes {
		args = append(args, t.kind.CacheKey(o, workspace))
	}
	return args, nil
}

// update is the statement that gives the row of old the values of o. What o does not mention stays,
// and so does a ttl that was only handed through: writing what remains would shorten it.
func (t *table) update(old, o entity.Object, workspace string) (string, []any, error) {
	set, args := []string{}, []any{old["id"]}
	for _, c := range t.columns {
		v, mentioned := o[c.field.Name]
		if !mentioned || c.field.Name == "id" || c.form == lifetime && v == old[c.field.Name] {
			continue
		}
		arg, err := c.encode(v)
		if err != nil {
			return "", nil, fmt.Errorf("store %s.%s: %w", t.name, c.field.Name, err)
		}
		args = append(args, arg)
		set = append(set, c.name+" = "+c.write(len(args)))
	}
	if t.scopes {
		args = append(args, t.kind.CacheKey(o, workspace))
		set = append(set, fmt.Sprintf("cache_key = $%d", len(args)))
	}
	return "UPDATE " + t.name + " SET " + strings.Join(set, ", ") + " WHERE id = $1 RETURNING " + t.list, args, nil
}

// encode makes an argument of a field's value.
func (c column) encode(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch c.form {
	case foreign:
		parent, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("expected a foreign key, got %T", v)
		}
		return parent["id"], nil
	case moment:
		seconds, fraction := math.Modf(number(v))
		return time.Unix(int64(seconds), int64(fraction*1e9)).UTC(), nil
	case lifetime:
		if number(v) == 0 {
			return nil, nil // for ever
		}
		return number(v), nil
	case words:
		return encodeWords(v)
	case document:
		return json.Marshal(v)
	}
	return v, nil
}

func encodeWords(v any) (any, error) {
	elements, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("expected a list, got %T", v)
	}
	list := make([]string, 0, len(elements))
	for _, e := range elements {
		w, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("expected a string, got %T", e)
		}
		list = append(list, w)
	}
	return list, nil
}

func number(v any) float64 {
	switch n := v.(type) {
	case int64:
		return float64(n)
	case int:
		return float64(n)
	case float64:
		return n
	}
	return 0
}

// A row is anything that scans one row.
type row interface{ Scan(dest ...any) error }

// scan reads the select list of one row.
func (t *table) scan(r row) (entity.Object, error) {
	dest := make([]any, len(t.columns))
	for i, c := range t.columns {
		dest[i] = c.target()
	}
	if err := r.Scan(dest...); err != nil {
		return nil, err
	}
	o := make(entity.Object, len(t.columns))
	for i, c := range t.columns {
		v, err := c.decode(dest[i])
		if err != nil {
			return nil, fmt.Errorf("read %s.%s: %w", t.name, c.field.Name, err)
		}
		o[c.field.Name] = v
	}
	return o, nil
}

// target is what a column is scanned into; all of it can be NULL.
func (c column) target() any {
	switch {
	case c.form == moment:
		return new(pgtype.Timestamptz)
	case c.form == words:
		return new([]*string)
	case c.form == document:
		return new([]byte)
	case c.form == lifetime, c.form == plain && c.field.Type == schema.Number:
		return new(*float64)
	case c.form == plain && c.field.Type == schema.Integer:
		return new(*int64)
	case c.form == plain && c.field.Type == schema.Boolean:
		return new(*bool)
	}
	return new(*string)
}

// decode is the inverse of encode, but for a lifetime, which keeps its fraction.
func (c column) decode(target any) (any, error) {
	switch v := target.(type) {
	case *pgtype.Timestamptz: // infinity, which only SQL can write, is no time
		if v.Valid && v.InfinityModifier == pgtype.Finite {
			return v.Time.Unix(), nil
		}
	case *[]*string:
		return decodeWords(*v), nil
	case *[]byte:
		if *v != nil {
			return decodeDocument(*v, c.field)
		}
	case **float64:
		return value(*v), nil
	case **int64:
		return value(*v), nil
	case **bool:
		return value(*v), nil
	case **string:
		if *v != nil && c.form == foreign {
			return map[string]any{"id": **v}, nil
		}
		return value(*v), nil
	}
	return nil, nil
}

// value is what p points to; NULL is nil.
func value[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

func decodeWords(v []*string) any {
	if v == nil {
		return nil
	}
	list := make([]any, len(v))
	for i, w := range v {
		list[i] = value(w)
	}
	return list
}

// decodeDocument reads JSON: a number is an int64 where it is whole and the schema does not say
// otherwise.
func decodeDocument(data []byte, f *schema.Field) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return exact(v, f), nil
}

// exact replaces json.Number. f is what is declared of v, nil when nothing is.
func exact(v any, f *schema.Field) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil && (f == nil || f.Type != schema.Number) {
			return n
		}
		n, _ := v.Float64()
		return n
	case []any:
		for i := range v {
			v[i] = exact(v[i], declared(f, ""))
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name], declared(f, name))
		}
	}
	return v
}

// declared finds what f says about the member name of a record or map, or about an element.
func declared(f *schema.Field, name string) *schema.Field {
	switch {
	case f == nil:
		return nil
	case f.Type == schema.Array || f.Type == schema.Set:
		return f.Elements
	case f.Type == schema.Map:
		return f.Values
	}
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			return &f.Fields[i]
		}
	}
	return nil
}

// whole rounds a lifetime down to the whole seconds that the Admin API shows.
func (t *table) whole(o entity.Object) entity.Object {
	if t.expires && o != nil {
		if left, ok := o["ttl"].(float64); ok {
			o["ttl"] = int64(math.Floor(left))
		}
	}
	return o
}

// clone copies o deeply, so that who gets it may change it.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for name, member := range v {
			c[name] = clone(member)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = clone(v[i])
		}
		return c
	}
	return v
}
