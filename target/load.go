package target

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// An Error is a mistake in a target's file, or another YAML file of the suite.
type Error struct {
	File    string
	Line    int // 0 where no single line is to blame
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// Load reads a target from its file's text. Every mistake is an [*Error] with file and line.
func Load(file string, data []byte) (*Target, error) {
	t := &Target{Limits: Limits{Slack: 500}}
	if err := Decode(file, data, t); err != nil {
		return nil, err
	}
	t.file, t.data = file, data
	if path, message := t.wrong(); message != "" {
		return nil, t.Mistake(path, message)
	}
	return t, nil
}

// Mistake is an error about what stands at a path of the target's file, such as $.defects[2].
func (t *Target) Mistake(path, message string) *Error {
	return &Error{File: cmp.Or(t.file, t.Name), Line: line(t.data, path), Message: message}
}

// Decode reads YAML strictly into the value: an unknown key, a repeated key or a value of another
// type is an [*Error] with its line and, for a key, the nearest right one.
func Decode(file string, data []byte, into any) error {
	err := yaml.UnmarshalWithOptions(data, into, yaml.Strict())
	if err == nil {
		return nil
	}
	mistake := &Error{File: file, Message: err.Error()}
	var located yaml.Error
	if errors.As(err, &located) {
		mistake.Message = located.GetMessage()
		if token := located.GetToken(); token != nil {
			mistake.Line = token.Position.Line
		}
	}
	var mistyped *yaml.TypeError
	if errors.As(err, &mistyped) {
		mistake.Message = "want " + wanted(mistyped.DstType) + ", not " + cmp.Or(kinds[mistyped.SrcType.Kind()], mistyped.SrcType.String())
		if token := mistyped.Token; token != nil && token.Value != "" {
			mistake.Message = fmt.Sprintf("want %s, not %q", wanted(mistyped.DstType), token.Value)
		}
	}
	if name := quoted.FindStringSubmatch(mistake.Message); strings.HasPrefix(mistake.Message, "unknown field") && name != nil {
		mistake.Message = fmt.Sprintf("unknown key %q%s", name[1], Near(name[1], fieldNames(reflect.TypeOf(into), nil)))
	}
	return mistake
}

// wanted says in words what a place of the file takes.
func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[Millis]() {
		return "a number of ms"
	}
	if kind := kinds[t.Kind()]; kind != "" {
		return kind
	}
	return "a " + t.String()
}

var kinds = map[reflect.Kind]string{
	reflect.String: "a text", reflect.Slice: "a list", reflect.Map: "a mapping", reflect.Struct: "a mapping",
	reflect.Int: "a whole number", reflect.Uint64: "a number", reflect.Int64: "a number", reflect.Float64: "a number", reflect.Bool: "true or false",
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

// fieldNames collects the YAML names of a type and all that it holds.
func fieldNames(t reflect.Type, names []string) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return fieldNames(t.Elem(), names)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			names = fieldNames(f.Type, append(names, name))
		}
	}
	return names
}

// line finds where a path ("$.settings.x") stands in the file; 0 where it does not.
func line(data []byte, path string) int {
	p, err := yaml.PathString(path)
	if err != nil {
		return 0
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return 0
	}
	node, err := p.FilterFile(file)
	if err != nil {
		return 0
	}
	return node.GetToken().Position.Line
}

// wrong finds what the types allow and the meaning does not: the path to blame and why.
func (t *Target) wrong() (path, message string) {
	switch {
	case t.Name == "":
		return "$", "name is missing"
	case t.Limits.Slack > 500 && t.Limits.Why == "":
		return "$.limits.slack_ms", "a slack above 500 ms owes a why"
	}
	waits := map[string]Millis{
		"$.limits.slack_ms": t.Limits.Slack, "$.limits.immediate_ms": t.Limits.Immediate,
		"$.start.ready.timeout_ms": t.Start.Ready.Timeout, "$.start.stop.timeout_ms": t.Start.Stop.Timeout,
	}
	for _, path := range keys(waits) {
		if waits[path] < 0 {
			return path, fmt.Sprintf("want a number of ms of at least 0, not %d", waits[path])
		}
	}
	if signal := t.Start.Stop.Signal; signal != "" && !slices.Contains(Signals(), signal) {
		return "$.start.stop.signal", fmt.Sprintf("unknown signal %q%s", signal, Near(signal, Signals()))
	}
	for i, claim := range t.Claims {
		if Capabilities()[claim] == "" {
			return fmt.Sprintf("$.claims[%d]", i), fmt.Sprintf("unknown claim %q%s", claim, Near(claim, keys(Capabilities())))
		}
	}
	return t.wrongEntry()
}

// Signals lists the signals by which a node can be asked to end.
func Signals() []string { return []string{"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"} }

// wrongEntry is wrong for what the file has many of.
func (t *Target) wrongEntry() (path, message string) {
	for _, name := range keys(t.Settings) {
		if message := t.Settings[name].wrong(name); message != "" {
			return "$.settings." + name, message
		}
	}
	for i, e := range t.Expectations {
		if message := e.wrong(); message != "" {
			return fmt.Sprintf("$.expectations[%d]", i), message
		}
	}
	for i, d := range t.Defects {
		if d.Name == "" {
			return fmt.Sprintf("$.defects[%d]", i), "a defect has no name"
		}
	}
	return "", ""
}

// Units lists the units that a setting may have.
func Units() []string { return []string{"s", "ms", "mb", "count", "word", "text"} }

func (s Setting) wrong(name string) string {
	if !slices.Contains(Units(), s.Unit) {
		return fmt.Sprintf("setting %s: unknown unit %q; want one of %s", name, s.Unit, strings.Join(Units(), ", "))
	}
	for _, value := range []Text{s.Default, s.Suite, s.Fixed} {
		if value == "" {
			continue
		}
		if err := s.allows(name, string(value)); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (e Expectation) wrong() string {
	verdicts := []string{"fail", "unknown", "setup-error"}
	switch {
	case e.Scenario == "":
		return "an expectation names no scenario"
	case !slices.Contains(verdicts, e.Verdict):
		return fmt.Sprintf("expectation for %s: unknown verdict %q; want one of %s%s", e.Scenario, e.Verdict, strings.Join(verdicts, ", "), Near(e.Verdict, verdicts))
	case e.Reason == "" || e.Link == "":
		return fmt.Sprintf("expectation for %s: a reason and a link are owed", e.Scenario)
	}
	if _, err := time.Parse(time.DateOnly, e.Expires); e.Expires != "" && err != nil {
		return fmt.Sprintf("expectation for %s: expires %q is no day such as 2027-01-31", e.Scenario, e.Expires)
	}
	return ""
}
