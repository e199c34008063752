package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A Warning says what is odd about a configuration that is good enough to start with.
type Warning string

// A given value is one that somebody wrote, and where.
type given struct{ where, value string }

// Load reads the file (none when its name is empty) and the environment, which wins. The warnings
// tell of names that mean nothing here; the error tells of every value that is not taken, one a
// line: where it stands, the value unless it is secret, and what is taken instead.
func Load(file string, environ []string) (Config, []Warning, error) {
	c := Defaults()
	all := properties()
	values := map[string]given{}
	var warnings []Warning
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return c, nil, fmt.Errorf("read configuration: %w", err)
		}
		warnings, err = readFile(file, string(data), all, values)
		if err != nil {
			return c, warnings, err
		}
	}
	warnings = append(warnings, readEnviron(environ, all, values)...)
	inherit(values)
	var errs []error
	for _, p := range all {
		v, ok := values[p.name]
		if !ok {
			continue
		}
		if err := p.set(&c, v.value); err != nil {
			shown := fmt.Sprintf("%q", v.value)
			if p.secret {
				shown = hidden
			}
			errs = append(errs, fmt.Errorf("%s is %s: want %s", v.where, shown, p.takes))
		}
	}
	return c, append(warnings, c.odd()...), errors.Join(errs...)
}

// inherit gives the replica what was said of the primary.
func inherit(values map[string]given) {
	if _, ok := values["pg_ro_host"]; !ok {
		return
	}
	for _, p := range server("pg_", nil) {
		name := "pg_ro_" + strings.TrimPrefix(p.name, "pg_")
		if _, own := values[name]; own {
			continue
		}
		if v, ok := values[p.name]; ok {
			values[name] = v
		}
	}
}

// odd warns of what is valid and has no effect.
func (c Config) odd() []Warning {
	var out []Warning
	for _, list := range [][]Listen{c.ProxyListen, c.AdminListen, c.StatusListen} {
		for _, l := range list {
			for _, word := range l.Ignored {
				out = append(out, Warning(fmt.Sprintf("listen on %s: %q is not supported and has no effect", l.Address, word)))
			}
		}
	}
	return out
}

// readEnviron takes the variables that begin with KONG_. An empty one counts as unset.
func readEnviron(environ []string, all []property, values map[string]given) []Warning {
	var warnings []Warning
	for _, line := range environ {
		variable, value, _ := strings.Cut(line, "=")
		name, ours := strings.CutPrefix(variable, "KONG_")
		if !ours || value == "" {
			continue
		}
		name = strings.ToLower(name)
		if !known(all, name) {
			near := Suggest("KONG_", strings.ToUpper(name), names(all, strings.ToUpper))
			warnings = append(warnings, Warning(variable+" is not known"+near))
			continue
		}
		values[name] = given{where: variable, value: value}
	}
	slices.Sort(warnings)
	return warnings
}

// readFile takes lines "name = value". A # begins a comment unless a backslash stands before it,
// and an empty value counts as unset.
func readFile(file, data string, all []property, values map[string]given) ([]Warning, error) {
	var warnings []Warning
	for i, line := range strings.Split(data, "\n") {
		where := fmt.Sprintf("%s:%d", file, i+1)
		line = strings.TrimSpace(uncomment(line))
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return warnings, fmt.Errorf("%s: want a line such as db_cache_ttl = 3", where)
		}
		name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
		switch {
		case !known(all, name):
			warnings = append(warnings, Warning(where+": "+name+" is not known"+Suggest("", name, names(all, strings.ToLower))))
		case value != "":
			values[name] = given{where: where + ": " + name, value: value}
		}
	}
	return warnings, nil
}

func uncomment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] != '\\') {
			line = line[:i]
			break
		}
	}
	return strings.ReplaceAll(line, `\#`, "#")
}

func unquote(v string) string {
	if len(v) > 1 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		return v[1 : len(v)-1]
	}
	return v
}

func known(all []property, name string) bool {
	return slices.ContainsFunc(all, func(p property) bool { return p.name == name })
}

func names(all []property, spell func(string) string) []string {
	out := make([]string, len(all))
	for i := range all {
		out[i] = spell(all[i].name)
	}
	return out
}

// Suggest continues a sentence about an unknown word with the name that was probably meant, written
// behind prefix: the one that the fewest edits turn word into. It is empty where that would be a guess.
func Suggest(prefix, word string, names []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; the nearest name is " + prefix + best
}

// distance counts insertions, deletions and substitutions.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

const hidden = "******"

// A Property is one line of a configuration as it is in force.
type Property struct {
	Name  string
	Value any // a string, a number, a bool, a list of strings, or nil where it is unset
}

// Dump lists every property in one order, always the same; a secret that is set shows as ******.
func (c Config) Dump() []Property {
	var out []Property
	for _, p := range properties() {
		value := p.get(&c)
		if p.secret && value != nil {
			value = hidden
		}
		out = append(out, Property{Name: p.name, Value: value})
	}
	return out
}

// Validate says which property is outside its bounds, and what is taken. What Load gives without
// an error is valid; it is for a Config that was made or changed in Go.
func (c Config) Validate() error {
	var errs []error
	for _, p := range properties() {
		value := p.get(&c)
		if value == nil {
			continue
		}
		written := fmt.Sprint(value)
		switch v := value.(type) {
		case []string:
			written = strings.Join(v, ",")
		case float64:
			written = fmt.Sprintf("%f", v)
		}
		scratch := c
		if written == "" || p.set(&scratch, written) != nil {
			if p.secret {
				written = hidden
			}
			errs = append(errs, fmt.Errorf("%s is %q: want %s", p.name, written, p.takes))
		}
	}
	return errors.Join(errs...)
}
