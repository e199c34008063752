package schema

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The messages of the wire.
const (
	missing     = "required field missing"
	unknown     = "unknown field"
	notUUID     = "expected a valid UUID"
	notTime     = "expected a valid timestamp"
	notText     = "expected valid utf-8 without NUL"
	missingKey  = "missing primary key"
	maxUnixTime = 253402300799 // the last second of the year 9999: what a database takes
)

// errOf is what each type expects.
func errOf(t Type) string {
	switch t {
	case String, Number, Boolean, Set, Map, Record:
		return "expected a " + string(t)
	default:
		return "expected an " + string(t)
	}
}

// Process gives the entity that is stored for what a client sent: every declared field is there,
// defaults filled and null for the rest, integers as int64, numbers as float64, identifiers in
// lower case. The second result is nil when all is well; the entity is of no use otherwise. in is
// not changed. A foreign field that names its entity by its other key (see Field.By) passes as it
// is: who can read the database resolves it.
func (s *Schema) Process(in map[string]any, op Op) (map[string]any, Violations) {
	entity := make(map[string]any, len(s.Fields))
	maps.Copy(entity, in)
	bad := Violations{}
	for _, short := range s.Shorthands {
		s.expand(short, entity, bad)
	}
	s.auto(entity, op)
	variantField, variant := "", (*Schema)(nil)
	if s.Variant != nil {
		variantField, variant = s.Variant(entity)
	}
	for name := range entity {
		if find(s.Fields, name) == nil {
			bad[name] = unknown
		}
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		var value, wrong any
		if f.Name == variantField {
			value, wrong = variant.config(entity[f.Name])
		} else {
			value, wrong = f.process(s.sent(entity, f.Name))
		}
		entity[f.Name] = value
		if wrong != nil {
			bad[f.Name] = wrong
		}
	}
	s.checks(entity, op, bad)
	if len(bad) == 0 {
		return entity, nil
	}
	return entity, bad
}

// sent is what a client sent for a field, or a default that depends on what else it sent.
func (s *Schema) sent(entity map[string]any, name string) (value any, there bool) {
	value, there = entity[name]
	if !there && s.DefaultOf != nil {
		value = clone(s.DefaultOf(entity, name))
		there = value != nil
	}
	return value, there
}

// expand replaces a shorthand by what it stands for.
func (s *Schema) expand(short Shorthand, entity map[string]any, bad Violations) {
	value, there := entity[short.Field.Name]
	if !there {
		return
	}
	delete(entity, short.Field.Name)
	if value == nil {
		return
	}
	value, wrong := short.Field.process(value, true)
	if wrong != nil {
		bad[short.Field.Name] = wrong
		return
	}
	for name, v := range short.Expand(value) {
		entity[name] = v
	}
}

// config processes the record that a variant declares. Null and absent mean: the defaults. A nil
// schema leaves it alone.
func (s *Schema) config(value any) (any, any) {
	if s == nil {
		return value, nil
	}
	if value == nil {
		value = map[string]any{}
	}
	record, ok := value.(map[string]any)
	if !ok {
		return value, errOf(Record)
	}
	out, bad := fieldsOf(s.Fields, record)
	if len(bad) > 0 {
		return value, bad
	}
	if s.Check != nil {
		if messages := s.Check(out); len(messages) > 0 {
			return value, messages[0]
		}
	}
	return out, nil
}

// checks runs what concerns more than one field. A message of a field's own stays.
func (s *Schema) checks(entity map[string]any, op Op, bad Violations) {
	if s.Check != nil {
		messages := s.Check(entity)
		for i, m := range messages {
			if op == Update && strings.HasPrefix(m, "at least one of") {
				messages[i] = "when updating, " + m
			}
		}
		if len(messages) > 0 {
			bad["@entity"] = messages
		}
	}
	if s.CheckFields == nil {
		return
	}
	sound := make(map[string]any, len(entity))
	for name, value := range entity {
		if bad[name] == nil {
			sound[name] = value
		}
	}
	for name, message := range s.CheckFields(sound) {
		if name == "@entity" {
			had, _ := bad[name].([]string)
			more, _ := message.([]string)
			bad[name] = append(had, more...)
		} else if bad[name] == nil {
			bad[name] = message
		}
	}
}

// process gives the stored form of a value, and what is wrong with it: nil, a message, or the
// messages of its parts.
func (f *Field) process(value any, there bool) (any, any) {
	if !there {
		value = f.absent()
	}
	if value == nil {
		if f.Required {
			return nil, missing
		}
		return nil, nil
	}
	value, wrong := f.typed(value)
	if wrong != nil {
		return value, wrong
	}
	if message := f.limits(value); message != "" {
		return value, message
	}
	if f.Check != nil {
		if err := f.Check(value); err != nil {
			return value, err.Error()
		}
	}
	return value, nil
}

// absent is the value of a field that was not sent: its default, or a record of defaults.
func (f *Field) absent() any {
	if f.Default == nil && f.Type == Record && f.Required {
		return map[string]any{}
	}
	return clone(f.Default)
}

// typed converts and descends.
func (f *Field) typed(value any) (any, any) {
	switch f.Type {
	case String:
		if text, ok := value.(string); ok {
			return f.text(text)
		}
	case Integer:
		if n, ok := integer(value); ok {
			return n, nil
		}
	case Number:
		if n, ok := number(value); ok {
			return n, nil
		}
	case Boolean:
		if b, ok := value.(bool); ok {
			return b, nil
		}
	case Array, Set:
		if list, ok := list(value); ok {
			return f.list(list)
		}
	case Map:
		if m, ok := value.(map[string]any); ok {
			return f.mapped(m)
		}
	case Record:
		if m, ok := value.(map[string]any); ok {
			out, bad := fieldsOf(f.Fields, m)
			if len(bad) > 0 {
				return value, bad
			}
			return out, nil
		}
	case Foreign:
		return f.foreign(value)
	}
	return value, errOf(f.Type)
}

// text refuses what no database stores, and writes identifiers one way.
func (f *Field) text(text string) (any, any) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return text, notText
	}
	if f.UUID && IsUUID(text) {
		return strings.ToLower(text), nil
	}
	return text, nil
}

// list processes the elements; its messages stand at the places of the wrong ones.
func (f *Field) list(in []any) (any, any) {
	out := make([]any, 0, len(in))
	var bad []any
	element := *f.Elements
	element.Required = true
	seen := map[any]bool{} // scalars of a set: comparing each with each would take minutes for a long body
	for i, v := range in {
		v, wrong := element.process(v, true)
		if wrong != nil {
			bad = append(bad, make([]any, i+1-len(bad))...)
			bad[i] = wrong
			continue
		}
		if f.Type == Set && known(seen, out, v) {
			continue
		}
		out = append(out, v)
	}
	if bad != nil {
		return in, bad
	}
	return out, nil
}

// known says whether a set holds v already. Only objects and lists are compared one by one.
func known(seen map[any]bool, out []any, v any) bool {
	switch v.(type) {
	case string, bool, int64, float64:
		had := seen[v]
		seen[v] = true
		return had
	}
	return slices.ContainsFunc(out, func(o any) bool { return same(o, v) })
}

// mapped processes keys and values; the wrong entry whose key sorts first gives the message.
func (f *Field) mapped(in map[string]any) (any, any) {
	out := make(map[string]any, len(in))
	for _, key := range sorted(in) {
		keys := f.Keys
		if keys == nil {
			keys = &Field{Type: String}
		}
		if _, wrong := keys.process(key, true); wrong != nil {
			return in, wrong
		}
		value, wrong := f.Values.process(in[key], true)
		if wrong != nil {
			return in, wrong
		}
		out[key] = value
	}
	return out, nil
}

// foreign keeps the id alone, or the one other key, which is left to be resolved.
func (f *Field) foreign(value any) (any, any) {
	m, _ := value.(map[string]any)
	id, there := m["id"]
	if !there {
		if name, ok := m[f.By].(string); ok && f.By != "" {
			if _, wrong := f.text(name); wrong != nil {
				return value, Violations{f.By: wrong}
			}
			return map[string]any{f.By: name}, nil
		}
		return value, Violations{"id": missingKey}
	}
	key := Field{Name: "id", Type: String, UUID: true, Required: true}
	id, wrong := key.process(id, true)
	if wrong != nil {
		return value, Violations{"id": wrong}
	}
	return map[string]any{"id": id}, nil
}

// fieldsOf processes the fields of a record and its unknown ones.
func fieldsOf(fields []Field, in map[string]any) (map[string]any, Violations) {
	out := make(map[string]any, len(fields))
	bad := Violations{}
	for name := range in {
		if find(fields, name) == nil {
			bad[name] = unknown
		}
	}
	for i := range fields {
		f := &fields[i]
		sent, there := in[f.Name]
		value, wrong := f.process(sent, there)
		out[f.Name] = value
		if wrong != nil {
			bad[f.Name] = wrong
		}
	}
	return out, bad
}

// limits gives the message of the first limit that a typed value breaks.
func (f *Field) limits(value any) string {
	switch {
	case len(f.OneOf) > 0 && !slices.Contains(f.OneOf, plain(value)):
		return "expected one of: " + strings.Join(f.OneOf, ", ")
	case f.Timestamp && !validTime(value):
		return notTime
	case f.UUID && !IsUUID(plain(value)):
		return notUUID
	}
	if n, ok := number(value); ok && len(f.Between) == 2 && !(n >= f.Between[0] && n <= f.Between[1]) {
		return "value should be between " + plain(f.Between[0]) + " and " + plain(f.Between[1])
	}
	if length, least := f.length(value); length < least {
		return "length must be at least " + strconv.Itoa(least)
	}
	return ""
}

// length gives how long a value is and how long it must be.
func (f *Field) length(value any) (int, int) {
	switch v := value.(type) {
	case string:
		if f.LenMin == 0 {
			return len(v), 1
		}
		return len(v), f.LenMin
	case []any:
		return len(v), f.LenMin
	}
	return 0, 0
}

func validTime(value any) bool {
	n, ok := number(value)
	return ok && n > 0 && n <= maxUnixTime
}

// IsUUID says whether s has the form of a UUID, of whatever version and case.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// integer converts what a JSON decoder or a caller in Go gives for a whole number.
func integer(value any) (int64, bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, true
		}
	}
	n, ok := number(value)
	if !ok || n != math.Trunc(n) || math.Abs(n) > 1<<53 {
		return 0, false
	}
	return int64(n), true
}

func number(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case json.Number:
		n, err := v.Float64()
		return n, err == nil
	}
	return 0, false
}

// list takes []any and, from callers in Go, []string.
func list(value any) ([]any, bool) {
	switch v := value.(type) {
	case []any:
		return v, true
	case []string:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i]
		}
		return out, true
	}
	return nil, false
}

// plain writes a scalar as the messages do.
func plain(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// same compares two elements of a set.
func same(a, b any) bool {
	switch a.(type) {
	case string, int64, float64, bool:
		return a == b
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errors.Join(errX, errY) == nil && string(x) == string(y)
}

// clone copies a default, so that no entity shares a list with the declaration.
func clone(value any) any {
	switch v := value.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = clone(v[i])
		}
		return out
	case []string:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i]
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = clone(v[k])
		}
		return out
	}
	return value
}

func sorted(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
