package schema

import (
	"fmt"
	"strings"
)

// Violations are the messages of a refused entity, nested as on the wire: a message, a list with
// the messages at the places of the wrong elements and null between them, or Violations of a
// record. "@entity" holds a []string about the entity as a whole.
type Violations map[string]any

// Error is the message of the error object: the messages about the whole entity first, then those
// of its fields by name. One level of nesting is written "a.b: message", a deeper one as a table.
func (v Violations) Error() string {
	var parts []string
	if whole, ok := v["@entity"].([]string); ok {
		parts = append(parts, whole...)
	}
	for _, name := range sorted(v) {
		if name == "@entity" {
			continue
		}
		each(v[name], func(key string, message any) {
			if key != "" {
				key = "." + key
			}
			parts = append(parts, name+key+": "+table(message, ""))
		})
	}
	if len(parts) == 1 {
		return "schema violation (" + parts[0] + ")"
	}
	return fmt.Sprintf("%d schema violations (%s)", len(parts), strings.Join(parts, "; "))
}

// each calls do for a message (with an empty key), or for each part that has one.
func each(message any, do func(key string, message any)) {
	switch m := message.(type) {
	case Violations:
		for _, key := range sorted(m) {
			do(key, m[key])
		}
	case []any:
		for i, part := range m {
			if part != nil {
				do(fmt.Sprint(i+1), part)
			}
		}
	default:
		do("", message)
	}
}

// table writes a nested message in the manner of the original's pretty printer.
func table(message any, indent string) string {
	if text, ok := message.(string); ok && indent == "" {
		return text
	} else if ok {
		return fmt.Sprintf("%q", text)
	}
	var lines []string
	_, unnamed := message.([]any)
	each(message, func(key string, part any) {
		line := indent + "  "
		if !unnamed {
			line += key + " = "
		}
		lines = append(lines, line+table(part, indent+"  "))
	})
	return "{\n" + strings.Join(lines, ",\n") + "\n" + indent + "}"
}
