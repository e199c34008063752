package body

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// An argument is one pair of a form or a query string. Its value is a string, or true when the
// name stood without `=`.
type argument struct {
	name  string
	value any
}

func tooManyArguments() error { return refuse("Too many arguments") }

// pairsOf cuts `a=1&b=2`. Sequences that cannot be decoded are kept as they stand.
func pairsOf(text string) ([]argument, error) {
	if strings.Count(text, "&") > 2*MaxArguments {
		return nil, tooManyArguments()
	}
	var args []argument
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, given := strings.Cut(pair, "=")
		a := argument{name: Unescape(strings.ReplaceAll(name, "+", " ")), value: true}
		if given {
			a.value = Unescape(strings.ReplaceAll(value, "+", " "))
		}
		args = append(args, a)
		if len(args) > MaxArguments {
			return nil, tooManyArguments()
		}
	}
	return args, nil
}

// decodeForm takes an urlencoded body.
func decodeForm(data []byte) (Body, error) {
	args, err := pairsOf(string(data))
	if err != nil {
		return Body{}, err
	}
	return formOf(args)
}

// formOf builds the records and lists that the arguments' names spell: `a.b` and `a[b]` a field of
// a record, `a[]`, `a[1]` and a name that is given twice elements of a list. An empty value is null.
func formOf(args []argument) (Body, error) {
	root := &branch{}
	for _, a := range args {
		steps := stepsOf(a.name)
		if len(steps) > MaxDepth {
			return Body{}, refuse("Cannot parse form body: too deeply nested")
		}
		b := root
		for _, s := range steps {
			b = b.step(s)
		}
		if a.value == "" {
			a.value = nil
		}
		b.values = append(b.values, a.value)
	}
	fields := make(map[string]any, len(root.keys))
	for name, b := range root.keys {
		v, err := b.value(name)
		if err != nil {
			return Body{}, err
		}
		fields[name] = v
	}
	return Body{Fields: fields, Form: true}, nil
}

// A branch is a place in the tree that argument names spell.
type branch struct {
	values   []any // what was given to just this name
	keys     map[string]*branch
	elements map[int]*branch
	last     int // the highest index in elements
}

// A step leads from a branch to one below it.
type step struct {
	key     string
	element bool // key is an index, or empty for one more element
}

func (b *branch) step(s step) *branch {
	if !s.element {
		if b.keys == nil {
			b.keys = map[string]*branch{}
		}
		if b.keys[s.key] == nil {
			b.keys[s.key] = &branch{}
		}
		return b.keys[s.key]
	}
	if b.elements == nil {
		b.elements = map[int]*branch{}
	}
	i, err := strconv.Atoi(s.key)
	if err != nil {
		i = b.last + 1
	}
	b.last = max(b.last, i)
	if b.elements[i] == nil {
		b.elements[i] = &branch{}
	}
	return b.elements[i]
}

// value is what the branch stands for. A name that is both a value and a record is refused.
func (b *branch) value(name string) (any, error) {
	kinds := 0
	for _, n := range []int{len(b.values), len(b.keys), len(b.elements)} {
		if n > 0 {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return nil, refuse("Cannot parse form body: conflicting arguments for '" + name + "'")
	case len(b.keys) > 0:
		record := make(map[string]any, len(b.keys))
		for key, c := range b.keys {
			v, err := c.value(name + "." + key)
			if err != nil {
				return nil, err
			}
			record[key] = v
		}
		return record, nil
	case len(b.elements) > 0:
		return b.list(name)
	case len(b.values) == 1:
		return b.values[0], nil
	}
	return b.values, nil
}

// list gives the elements in the order of their indexes; gaps close.
func (b *branch) list(name string) (any, error) {
	indexes := make([]int, 0, len(b.elements))
	for i := range b.elements {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	list := make([]any, 0, len(indexes))
	for _, i := range indexes {
		v, err := b.elements[i].value(name + "." + strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// stepsOf reads a name, no further than to see that it nests too deeply. One that is not well formed
// is taken as it stands, and found unknown later.
func stepsOf(name string) []step {
	whole := []step{{key: name}}
	end := strings.IndexAny(name, ".[")
	if end <= 0 {
		return whole
	}
	steps := []step{{key: name[:end]}}
	for rest := name[end:]; rest != "" && len(steps) <= MaxDepth; {
		var s step
		switch rest[0] {
		case '.':
			end := strings.IndexAny(rest[1:], ".[") + 1
			if end == 0 {
				end = len(rest)
			}
			s, rest = step{key: rest[1:end]}, rest[end:]
			if s.key == "" {
				return whole
			}
		case '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return whole
			}
			s.key, rest = rest[1:end], rest[end+1:]
			s.element = isIndex(s.key)
		default:
			return whole
		}
		steps = append(steps, s)
	}
	return steps
}

// isIndex holds for `[]` and `[1]`, as far as the number is a sensible one.
func isIndex(s string) bool {
	if len(s) > 9 {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// Arguments reads a query string; what cannot be decoded is kept as it stands.
func Arguments(query string) (url.Values, error) {
	pairs, err := pairsOf(query)
	if err != nil {
		return nil, err
	}
	args := make(url.Values, len(pairs))
	for _, a := range pairs {
		text, _ := a.value.(string) // a name without `=` is true: no argument takes that
		args.Add(a.name, text)
	}
	return args, nil
}

// Unescape decodes `%xx` and keeps what is no such sequence, as Kong does.
func Unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
