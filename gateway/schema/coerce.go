package schema

import "strconv"

// Coerce turns the strings of a form body into the types of the fields: numbers, "true" and
// "false", a single value into a list of one. What does not convert stays a string, and
// [Schema.Process] says what was expected. The record of a variant converts only when form holds
// what decides the variant, such as the name of a plugin. form is not changed.
func (s *Schema) Coerce(form map[string]any) map[string]any {
	fields := s.Fields
	for _, short := range s.Shorthands {
		fields = append(fields[:len(fields):len(fields)], short.Field)
	}
	out := coerceAll(fields, form)
	if s.Variant == nil {
		return out
	}
	if name, variant := s.Variant(out); variant != nil {
		if record, ok := out[name].(map[string]any); ok {
			out[name] = coerceAll(variant.Fields, record)
		}
	}
	return out
}

func coerceAll(fields []Field, form map[string]any) map[string]any {
	out := make(map[string]any, len(form))
	for name, value := range form {
		if f := find(fields, name); f != nil {
			value = f.coerce(value)
		}
		out[name] = value
	}
	return out
}

func (f *Field) coerce(value any) any {
	if m, ok := value.(map[string]any); ok {
		switch f.Type {
		case Record:
			return coerceAll(f.Fields, m)
		case Map:
			out := make(map[string]any, len(m))
			for k, v := range m {
				out[k] = f.Values.coerce(v)
			}
			return out
		}
		return value
	}
	if f.Type == Array || f.Type == Set {
		if value == nil {
			return nil
		}
		many, ok := list(value)
		if !ok {
			many = []any{value}
		}
		out := make([]any, len(many))
		for i := range many {
			out[i] = f.Elements.coerce(many[i])
		}
		return out
	}
	if text, ok := value.(string); ok {
		return f.scalar(text)
	}
	return value
}

func (f *Field) scalar(text string) any {
	switch f.Type {
	case Integer, Number:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
	case Boolean:
		if text == "true" || text == "false" {
			return text == "true"
		}
	}
	return text
}
