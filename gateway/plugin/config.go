package plugin

import (
	"fmt"
	"math"
	"time"
)

// A Reader reads a configuration that a schema has accepted, and notes the first field that is not
// what it should be: the database may hold anything.
type Reader struct {
	config map[string]any
	name   string
	err    *error
}

// Read reads config.
func Read(config map[string]any) Reader {
	return Reader{config: config, name: "config", err: new(error)}
}

// Err is the first thing that was wrong, in any part of the configuration.
func (r Reader) Err() error { return *r.err }

// Record reads a record, empty when it is absent.
func (r Reader) Record(field string) Reader {
	return Reader{config: value(r, field, map[string]any(nil)), name: r.name + "." + field, err: r.err}
}

// String reads a string, absent when it is null.
func (r Reader) String(field, absent string) string { return value(r, field, absent) }

// Bool reads a boolean, absent when it is null.
func (r Reader) Bool(field string, absent bool) bool { return value(r, field, absent) }

// Int reads an integer, absent when it is null.
func (r Reader) Int(field string, absent int) int {
	switch v := r.config[field].(type) {
	case nil:
		return absent
	case int64:
		return int(v)
	case int:
		return v
	case float64:
		if v == float64(int(v)) {
			return int(v)
		}
	}
	r.wrong(field)
	return absent
}

// Has tells whether a field is there and not null.
func (r Reader) Has(field string) bool { return r.config[field] != nil }

// Number reads an integer or a fraction, absent when it is null.
func (r Reader) Number(field string, absent float64) float64 {
	switch v := r.config[field].(type) {
	case nil:
		return absent
	case int64:
		return float64(v)
	case int:
		return float64(v)
	case float64:
		return v
	}
	r.wrong(field)
	return absent
}

// Seconds reads a number of seconds, absent when it is null. Beyond what a duration can hold it is
// the longest one.
func (r Reader) Seconds(field string, absent float64) time.Duration {
	return duration(r.Number(field, absent), time.Second)
}

// Millis reads a number of milliseconds in the same way.
func (r Reader) Millis(field string, absent float64) time.Duration {
	return duration(r.Number(field, absent), time.Millisecond)
}

func duration(n float64, unit time.Duration) time.Duration {
	n = math.Round(n * float64(unit))
	switch {
	case n >= math.MaxInt64:
		return math.MaxInt64
	case n <= math.MinInt64:
		return math.MinInt64
	}
	return time.Duration(n)
}

// Texts reads a map of strings, empty when it is null.
func (r Reader) Texts(field string) map[string]string {
	m := value(r, field, map[string]any(nil))
	out := make(map[string]string, len(m))
	for name, v := range m {
		s, ok := v.(string)
		if !ok {
			r.wrong(field)
		}
		out[name] = s
	}
	return out
}

// Strings reads a list of strings, empty when it is null.
func (r Reader) Strings(field string) []string {
	list := value(r, field, []any(nil))
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			r.wrong(field)
		}
		out = append(out, s)
	}
	return out
}

// value reads a field of a type.
func value[T any](r Reader, field string, absent T) T {
	v, have := r.config[field]
	if !have || v == nil {
		return absent
	}
	t, ok := v.(T)
	if !ok {
		r.wrong(field)
		return absent
	}
	return t
}

func (r Reader) wrong(field string) {
	if *r.err == nil {
		*r.err = fmt.Errorf("read %s.%s: unexpected %T", r.name, field, r.config[field])
	}
}
