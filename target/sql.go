package target

import (
	"fmt"
	"strings"
)

// A Statement is SQL with positional parameters ($1, $2, …). The arguments are text; the SQL casts
// where it must.
type Statement struct {
	SQL  string
	Args []any
}

// Statements returns what the named template of the target's file does, to be run in its order in
// one transaction on the primary; the rows affected by the last one are what the template reports.
// {name} in the template becomes a parameter. It fails on an unknown template and on a
// parameter that is not given.
func (t *Target) Statements(name string, params map[string]string) ([]Statement, error) {
	template, found := t.SQL[name]
	if !found {
		return nil, fmt.Errorf("sql %s: the target %s has no such statement%s", name, t.Name, Near(name, keys(t.SQL)))
	}
	var statements []Statement
	for _, part := range strings.Split(template, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		var s Statement
		position := map[string]int{}
		sql, err := fill(part, params, func(key, value string) string {
			if position[key] == 0 {
				s.Args = append(s.Args, value)
				position[key] = len(s.Args)
			}
			return fmt.Sprintf("$%d", position[key])
		})
		if err != nil {
			return nil, fmt.Errorf("sql %s: %w", name, err)
		}
		s.SQL = sql
		statements = append(statements, s)
	}
	return statements, nil
}
