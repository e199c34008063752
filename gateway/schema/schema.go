// Package schema declares the fields of entities and plugin configurations once, and derives from
// the declaration all that the Admin API promises about them: defaults, types, violations.
package schema

// A Type is the kind of value a field holds, in the words of the Admin API.
type Type string

// The types a field can have.
const (
	String  Type = "string"
	Integer Type = "integer"
	Number  Type = "number"
	Boolean Type = "boolean"
	Array   Type = "array"
	Set     Type = "set"
	Map     Type = "map"
	Record  Type = "record"
	Foreign Type = "foreign"
)

// An Op is the operation that an entity is processed for.
type Op int

// Insert creates, Update changes an entity that was merged already, Upsert replaces.
const (
	Insert Op = iota
	Update
	Upsert
)

// A Field is one property of an entity or of a record in it.
type Field struct {
	Name     string
	Type     Type
	Default  any
	Required bool
	Auto     bool // the server makes it when it is absent: id, created_at, updated_at
	UUID     bool
	// Timestamp marks whole seconds since the epoch.
	Timestamp bool
	OneOf     []string
	Between   []float64 // lower and upper bound, both allowed
	LenMin    int
	Unique    bool
	Elements  *Field  // array, set
	Keys      *Field  // map
	Values    *Field  // map
	Fields    []Field // record
	Reference string  // foreign: the kind it names, such as "services"
	OnDelete  string  // foreign: "restrict" or "cascade"
	// Check is asked after the type and the bounds held; its text is the wire message.
	Check func(value any) error
}

// A Shorthand is a write-only property that stands for others.
type Shorthand struct {
	Field Field
	// Expand gives the properties that value stands for.
	Expand func(value any) (map[string]any, error)
}

// A Schema is the declaration of one entity or one plugin's configuration.
type Schema struct {
	Name       string
	Fields     []Field
	Shorthands []Shorthand
	Check      func(entity map[string]any) []string // the "@entity" messages
}

// Process fills defaults, coerces numbers and validates.
func (s *Schema) Process(in map[string]any, op Op) (map[string]any, Violations) {
	return in, nil
}

// Coerce turns the strings of a form body into the types of the fields.
func (s *Schema) Coerce(form map[string]any) map[string]any { return form }

// Violations are the messages of a refused entity, nested as on the wire.
type Violations map[string]any

// Error gives the message of the error object.
func (v Violations) Error() string { return "schema violation" }
