// Package schema declares the fields of entities and plugin configurations once, and derives from
// the declaration all that the Admin API promises about them: defaults, types, messages.
//
// A declaration is plain data. [Schema.Process] turns what a client sent into what is stored, or
// says in the wire's own words what is wrong with it; it never panics, whatever the client sent.
//
// It is longer than most packages, since every type of value has its own conversion, limits and way
// to nest messages, and a second place that knew them would soon say something else.
package schema

import (
	"crypto/rand"
	"time"

	"github.com/google/uuid"
)

// A Type is the kind of value a field holds, in the words of the Admin API.
type Type string

// The types a field can have.
const (
	String  Type = "string"
	Integer Type = "integer"
	Number  Type = "number"
	Boolean Type = "boolean"
	Array   Type = "array"
	Set     Type = "set" // an array without repetitions; the first of equal elements stays
	Map     Type = "map"
	Record  Type = "record"
	Foreign Type = "foreign" // {"id": uuid}, or null
)

// An Op is the operation that an entity is processed for.
type Op int

// Insert creates, Update gets an entity that was merged with the stored one, Upsert replaces.
const (
	Insert Op = iota
	Update
	Upsert
)

// A Field is one property of an entity or of a record in it. The zero values of its limits mean
// that there is none, with one exception: a string must not be empty unless LenMin is negative.
type Field struct {
	Name      string
	Type      Type
	Default   any  // for an absent field; an explicit null stays null
	Required  bool // null is refused
	Auto      bool // the server makes it when absent: id, created_at, a key; updated_at always
	UUID      bool
	Timestamp bool      // seconds since the epoch, from 1 to the end of the year 9999
	OneOf     []string  // integers as their decimal digits
	Between   []float64 // lower and upper bound, both allowed
	LenMin    int       // of a string in bytes, of an array or set in elements
	Unique    bool
	Elements  *Field  // array, set
	Keys      *Field  // map; nil: any string
	Values    *Field  // map
	Fields    []Field // record
	Reference string  // foreign: the kind it names, such as "services"
	By        string  // foreign: the key that may stand for the id, such as "name"; empty: none
	OnDelete  string  // foreign: "restrict" or "cascade"
	// Check is asked last, with a value whose type and limits are right; its text is the message.
	Check func(value any) error
}

// A Shorthand is a write-only property that stands for others, such as a service's url.
type Shorthand struct {
	Field Field
	// Expand gives the properties that value stands for; they replace what else was sent.
	Expand func(value any) map[string]any
}

// A Schema is the declaration of one entity or of one plugin's configuration.
type Schema struct {
	Name       string
	Fields     []Field
	Shorthands []Shorthand
	// Check gives the messages about the entity as a whole. It runs although fields may be wrong,
	// and then sees them as they were sent: it must not trust types.
	Check func(entity map[string]any) []string
	// CheckFields gives the messages that belong to one field but depend on another, or are about
	// the whole. It does not see the fields that are wrong by themselves.
	CheckFields func(entity map[string]any) Violations
	// Variant names the record whose fields depend on the rest of the entity, and gives its
	// schema; nil leaves the record unjudged (then a field of the entity says why). The first
	// message of the variant's Check becomes the message of the record.
	Variant func(entity map[string]any) (field string, of *Schema)
	// DefaultOf gives a default that depends on the rest of the entity; nil leaves the field's own.
	DefaultOf func(entity map[string]any, field string) any
	// Now is the node's clock; nil is time.Now.
	Now func() time.Time
}

// Field finds a declared field by its name, nil when there is none.
func (s *Schema) Field(name string) *Field { return find(s.Fields, name) }

func find(fields []Field, name string) *Field {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

// auto makes the fields that the server makes: an id, the times, a secret.
func (s *Schema) auto(entity map[string]any, op Op) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		switch {
		case !f.Auto:
		case f.Name == "updated_at":
			entity[f.Name] = now().Unix()
		case op == Update || entity[f.Name] != nil:
		case f.Timestamp:
			entity[f.Name] = now().Unix()
		case f.UUID:
			entity[f.Name] = uuid.NewString()
		default:
			entity[f.Name] = secret()
		}
	}
}

// secret is 32 letters and digits from the system's generator.
func secret() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, 32)
	var random [64]byte
	for {
		_, _ = rand.Read(random[:]) // never fails (crypto/rand)
		for _, b := range random {
			if int(b) >= 256-256%len(alphabet) {
				continue // or the first letters would come more often
			}
			if out = append(out, alphabet[int(b)%len(alphabet)]); len(out) == cap(out) {
				return string(out)
			}
		}
	}
}
