package suite

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tidemark/target"
)

// A Selection says which scenarios run. What is empty does not restrict; the rest must all hold.
type Selection struct {
	Tags       string   // an expression: @must and not (@sql or @process)
	Name       string   // a regular expression over names
	IDs        []string // scenarios; without #row, all rows of an outline
	Statements []string
	Profile    string
}

// A UsageError says what is wrong with what the caller asked for. The run ends with 64.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// Profiles are the named selections, each with its tag expression. Where nothing is selected by tag,
// profile or id, scenarios tagged @long stay out.
func Profiles() map[string]string {
	return map[string]string{
		"core":    "@must and not (@replica or @process or @sql or @long)",
		"cluster": "@multi-node and not @long",
		"cache":   "@cache-admin and not @long",
		"replica": "@replica and not @long",
		"process": "@process and not @long",
		"queue":   "@queue-http-log and not @long",
		"behind":  "@sql and not @long",
		"long":    "@long",
	}
}

// Select returns the scenarios that the selection names, in their order. It is a [*UsageError] to
// name a tag, scenario, statement or profile that does not exist, and to select nothing.
func Select(all []Scenario, selection Selection) ([]Scenario, error) {
	keep, err := selection.compile(all)
	if err != nil {
		return nil, err
	}
	var chosen []Scenario
	for _, s := range all {
		if !slices.ContainsFunc(keep, func(holds func(Scenario) bool) bool { return !holds(s) }) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, usage("nothing is selected: each part of the selection names something, but no scenario is named by all of them")
	}
	return chosen, nil
}

// compile turns each part of the selection into a condition that must hold.
func (selection Selection) compile(all []Scenario) (keep []func(Scenario) bool, err error) {
	if selection.Tags != "" {
		holds, err := compileTags(selection.Tags, knownTags(all))
		if err != nil {
			return nil, err
		}
		keep = append(keep, func(s Scenario) bool { return holds(s.Tags()) })
	}
	if selection.Profile != "" {
		expression, err := oneOf("profile", selection.Profile, Profiles())
		if err != nil {
			return nil, err
		}
		holds, _ := compileTags(expression, nil)
		keep = append(keep, func(s Scenario) bool { return holds(s.Tags()) })
	}
	if selection.Name != "" {
		holds, err := compileName(selection.Name, all)
		if err != nil {
			return nil, err
		}
		keep = append(keep, holds)
	}
	if len(selection.IDs) > 0 {
		if err := knownIDs(all, selection.IDs); err != nil {
			return nil, err
		}
		keep = append(keep, func(s Scenario) bool { return named(s, selection.IDs) })
	}
	if len(selection.Statements) > 0 {
		if err := knownStatements(all, selection.Statements); err != nil {
			return nil, err
		}
		keep = append(keep, func(s Scenario) bool { return intersects(s.Statements, selection.Statements) })
	}
	if selection.Tags == "" && selection.Profile == "" && len(selection.IDs) == 0 {
		keep = append(keep, func(s Scenario) bool { return !slices.Contains(s.Capabilities, "long") })
	}
	return keep, nil
}

func compileName(expression string, all []Scenario) (func(Scenario) bool, error) {
	name, err := regexp.Compile(expression)
	if err != nil {
		return nil, usage("name %q: %v", expression, err)
	}
	holds := func(s Scenario) bool { return name.MatchString(s.Name) }
	if !slices.ContainsFunc(all, holds) {
		return nil, usage("no scenario's name matches %q (names, not ids: tidemark list scenarios)", expression)
	}
	return holds, nil
}

func oneOf[V any](kind, name string, known map[string]V) (V, error) {
	v, found := known[name]
	if !found {
		var names []string
		for n := range known {
			names = append(names, n)
		}
		slices.Sort(names)
		return v, usage("unknown %s %q%s", kind, name, target.Near(name, names))
	}
	return v, nil
}

// named says whether the scenario is one of the ids, or a row of one.
func named(s Scenario, ids []string) bool {
	outline, _, _ := strings.Cut(s.ID, "#")
	return slices.Contains(ids, s.ID) || slices.Contains(ids, outline)
}

func knownIDs(all []Scenario, ids []string) error {
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(s Scenario) bool { return named(s, []string{id}) }) {
			var names []string
			for _, s := range all {
				names = append(names, s.ID)
			}
			return usage("unknown scenario %q%s", id, target.Near(id, names))
		}
	}
	return nil
}

func knownStatements(all []Scenario, ids []string) error {
	var names []string
	for _, s := range all {
		names = append(names, s.Statements...)
	}
	for _, id := range ids {
		if !slices.Contains(names, id) {
			slices.Sort(names)
			return usage("no scenario carries the statement %q%s", id, target.Near(id, slices.Compact(names)))
		}
	}
	return nil
}

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

func knownTags(all []Scenario) []string {
	var tags []string
	for _, s := range all {
		tags = append(tags, s.Tags()...)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// compileTags reads a tag expression (and, or, not, parentheses; not binds closest, then and). Where
// known is not nil, a tag outside of it is an error.
func compileTags(expression string, known []string) (func(tags []string) bool, error) {
	p := &tagParser{words: tagWords.FindAllString(expression, -1), known: known, whole: expression}
	holds, err := p.or()
	if err == nil && len(p.words) > 0 {
		err = p.wrong("unexpected %q", p.words[0])
	}
	return holds, err
}

var tagWords = regexp.MustCompile(`[()]|[^\s()]+`)

// A tagParser reads words from left to right.
type tagParser struct {
	words []string
	known []string
	whole string
}

type tagCondition = func(tags []string) bool

func (p *tagParser) wrong(format string, args ...any) error {
	return usage("tag expression %q: %s (such as: @must and not (@sql or @process))", p.whole, fmt.Sprintf(format, args...))
}

// next takes the word if it comes next.
func (p *tagParser) next(word string) bool {
	if len(p.words) > 0 && p.words[0] == word {
		p.words = p.words[1:]
		return true
	}
	return false
}

func (p *tagParser) or() (tagCondition, error) {
	left, err := p.and()
	for err == nil && p.next("or") {
		a := left
		var b tagCondition
		b, err = p.and()
		left = func(tags []string) bool { return a(tags) || b(tags) }
	}
	return left, err
}

func (p *tagParser) and() (tagCondition, error) {
	left, err := p.not()
	for err == nil && p.next("and") {
		a := left
		var b tagCondition
		b, err = p.not()
		left = func(tags []string) bool { return a(tags) && b(tags) }
	}
	return left, err
}

func (p *tagParser) not() (tagCondition, error) {
	if p.next("not") {
		inner, err := p.not()
		return func(tags []string) bool { return !inner(tags) }, err
	}
	if p.next("(") {
		inner, err := p.or()
		if err == nil && !p.next(")") {
			err = p.wrong("a parenthesis is not closed")
		}
		return inner, err
	}
	if len(p.words) == 0 {
		return nil, p.wrong("it ends where a tag was due")
	}
	tag := p.words[0]
	p.words = p.words[1:]
	if !strings.HasPrefix(tag, "@") {
		return nil, p.wrong("%q is no tag; tags begin with @", tag)
	}
	if p.known != nil && !slices.Contains(p.known, tag) {
		return nil, usage("unknown tag %q%s", tag, target.Near(tag, p.known))
	}
	return func(tags []string) bool { return slices.Contains(tags, tag) }, nil
}
