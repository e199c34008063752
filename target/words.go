package target

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var placeholder = regexp.MustCompile(`\{[a-z][a-z0-9_]*\}`)

// fill replaces each {name} of the template by what as makes of its value.
func fill(template string, values map[string]string, as func(name, value string) string) (string, error) {
	var missing error
	filled := placeholder.ReplaceAllStringFunc(template, func(match string) string {
		name := strings.Trim(match, "{}")
		value, found := values[name]
		if !found {
			missing = fmt.Errorf("fill {%s}: no value given%s", name, Near(name, keys(values)))
		}
		return as(name, value)
	})
	return filled, missing
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Near is the tail of an error about an unknown name: it tells the nearest right one or, where none
// is near and there are few, all of them.
func Near(name string, names []string) string {
	if nearest := Nearest(name, names); nearest != "" {
		return fmt.Sprintf("; nearest is %q", nearest)
	}
	if len(names) > 0 && len(names) <= 20 {
		return "; known: " + strings.Join(names, ", ")
	}
	return ""
}

// Nearest returns the name with the fewest edits from the given one, or "" where all are more than
// half of its length away. Case does not count; a name that contains the given one does.
func Nearest(name string, names []string) string {
	best, distance := "", len(name)/2+1
	for _, candidate := range names {
		d := edits(strings.ToLower(name), strings.ToLower(candidate))
		if len(name) > 2 && strings.Contains(strings.ToLower(candidate), strings.ToLower(name)) {
			d = min(d, len(name)/2)
		}
		if d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// edits is the Levenshtein distance in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
