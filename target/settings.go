package target

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings are the values in force on a node. The zero value has none.
type Settings struct {
	values map[string]string
	stated map[string]bool // by a layer or the suite, not only the product's default
	units  map[string]string
}

// A FixedError says that a value was asked for that the product cannot be given. A scenario that
// meets it is unsupported.
type FixedError struct{ Name, Wanted, Fixed string }

func (e *FixedError) Error() string {
	return fmt.Sprintf("set %s to %q: the target fixes it at %q", e.Name, e.Wanted, e.Fixed)
}

// Resolve lays the values over each other: the first layer that states a setting wins (a scenario's
// sentence, then --set), then the suite's default for this target, then the product's. An empty value
// in a layer leaves the setting to the product, past the suite's default. It fails on an unknown name, on a value that the unit does not allow and, with a [*FixedError], on a value
// that the product fixes otherwise.
func (t *Target) Resolve(layers ...map[string]string) (Settings, error) {
	s := Settings{values: map[string]string{}, stated: map[string]bool{}, units: map[string]string{}}
	for name, setting := range t.Settings {
		s.units[name] = setting.Unit
		for _, v := range []Text{setting.Fixed, setting.Suite, setting.Default} {
			if v != "" {
				s.values[name] = string(v)
				break
			}
		}
		s.stated[name] = setting.Fixed == "" && setting.Suite != ""
	}
	for _, layer := range slices.Backward(layers) {
		for _, name := range slices.Sorted(maps.Keys(layer)) {
			if err := t.Check(name, layer[name]); err != nil {
				return Settings{}, err
			}
			s.values[name], s.stated[name] = layer[name], true
			if layer[name] == "" {
				t.leave(s, name)
			}
		}
	}
	return s, nil
}

// leave gives the setting back to the product.
func (t *Target) leave(s Settings, name string) {
	s.values[name], s.stated[name] = string(cmp.Or(t.Settings[name].Fixed, t.Settings[name].Default)), false
}

// Nothing is a layer that leaves every setting to the product: its own defaults.
func (t *Target) Nothing() map[string]string {
	layer := map[string]string{}
	for name := range t.Settings {
		layer[name] = ""
	}
	return layer
}

// Check says what is wrong with giving the setting this value: an unknown name, a value that its
// unit does not allow, or one that the product fixes otherwise.
func (t *Target) Check(name, value string) error {
	setting, found := t.Settings[name]
	if !found {
		return fmt.Errorf("set %s: the target %s has no such setting%s", name, t.Name, Near(name, keys(t.Settings)))
	}
	if value == "" {
		return nil
	}
	if setting.Fixed != "" && value != string(setting.Fixed) {
		return &FixedError{Name: name, Wanted: value, Fixed: string(setting.Fixed)}
	}
	return setting.allows(name, value)
}

func (s Setting) allows(name, value string) error {
	switch s.Unit {
	case "s", "ms", "mb", "count":
		if n, err := strconv.ParseFloat(value, 64); err != nil || n < 0 {
			return fmt.Errorf("set %s to %q: want a number of at least 0 (unit %s)", name, value, s.Unit)
		}
	case "word":
		if !slices.Contains(s.OneOf, value) {
			return fmt.Errorf("set %s to %q: want one of %s%s", name, value, strings.Join(s.OneOf, ", "), Near(value, s.OneOf))
		}
	}
	return nil
}

// Get returns the value in force, or "" where there is none.
func (s Settings) Get(name string) string { return s.values[name] }

// Duration returns the value of a setting in s or ms; 0 where it has no value or another unit.
func (s Settings) Duration(name string) time.Duration {
	n, err := strconv.ParseFloat(s.values[name], 64)
	if err != nil {
		return 0
	}
	switch s.units[name] {
	case "s":
		return time.Duration(n * float64(time.Second))
	case "ms":
		return time.Duration(n * float64(time.Millisecond))
	}
	return 0
}

// Map returns all values in force.
func (s Settings) Map() map[string]string { return maps.Clone(s.values) }

// Environment returns NAME=value for all that the target's file maps to a variable: settings that
// were stated (the product's own defaults are left to it), and facts, which only the driver knows
// (ports, the database). What stands in except is left out: a configuration file says it.
// The order is stable.
func (t *Target) Environment(s Settings, facts map[string]string, except ...string) []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(t.Start.Env)) {
		value, found := facts[name]
		if !found && s.stated[name] {
			value, found = s.values[name], true
		}
		if found && !slices.Contains(except, name) {
			env = append(env, t.Start.Env[name]+"="+value)
		}
	}
	return env
}
