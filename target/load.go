package target

import (
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
	if path, message := t.wrong(); message != "" {
		return nil, &Error{File: file, Line: line(data, path), Message: message}
	}
	return t, nil
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
	if name := quoted.FindStringSubmatch(mistake.Message); strings.HasPrefix(mistake.Message, "unknown field") && name != nil {
		mistake.Message = fmt.Sprintf("unknown key %q%s", name[1], Near(name[1], fieldNames(reflect.TypeOf(into), nil)))
	}
	return mistake
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
