package admin

import (
	"maps"
	"strings"

	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// below copies the fields of a body and puts the entity under the one that the path names.
func (p place) below(fields map[string]any, parent string) map[string]any {
	fields = maps.Clone(fields)
	if p.parent != nil {
		fields[p.field] = map[string]any{"id": parent}
		if alias := aliasOf(p.kind, p.field); alias != "" {
			delete(fields, alias)
		}
	}
	return fields
}

// whole makes of what a client sent the entity to be stored.
func whole(c *call, k *entity.Kind, fields map[string]any, op schema.Op) (entity.Object, error) {
	if err := flat(k, fields); err != nil {
		return nil, err
	}
	if c.body.Form {
		fields = k.Schema.Coerce(fields)
	}
	o, violations := k.Schema.Process(fields, op)
	if len(violations) > 0 {
		return nil, violations
	}
	return o, nil
}

// aliasOf is the flat name that the cluster document uses for a reference in a request, where it
// does: a route's `service_id`. Empty: none.
func aliasOf(k *entity.Kind, field string) string {
	if k.Name == "routes" && field == "service" {
		return "service_id"
	}
	return ""
}

// flat replaces the flat name of a reference by the reference. Both, and not the same, is refused.
func flat(k *entity.Kind, fields map[string]any) error {
	for _, ref := range k.References() {
		alias := aliasOf(k, ref.Field)
		id, given := fields[alias]
		if alias == "" || !given {
			continue
		}
		delete(fields, alias)
		var flattened any
		if id != nil {
			flattened = map[string]any{"id": id}
		}
		nested, both := fields[ref.Field]
		if both && !agree(nested, id) {
			return schema.Violations{alias: "differs from '" + ref.Field + ".id'"}
		}
		fields[ref.Field] = flattened
	}
	return nil
}

// agree says whether a reference names the entity with the id, or both name none.
func agree(reference, id any) bool {
	if nested, is := reference.(map[string]any); is {
		reference = nested["id"]
	}
	text, isText := id.(string)
	other, wasText := reference.(string)
	return reference == nil && id == nil || isText && wasText && strings.EqualFold(text, other)
}

// merge lays a patch over a stored entity: records field by field, all else whole. A form's values are
// converted here, where it is known which plugin's configuration they belong to.
func merge(s *schema.Schema, old entity.Object, patch map[string]any, form bool) entity.Object {
	named := maps.Clone(old)
	maps.Copy(named, patch) // a name that decides the rest is taken from the patch first
	variantField, variant := "", (*schema.Schema)(nil)
	if s.Variant != nil {
		variantField, variant = s.Variant(named)
	}
	if form {
		patch = coerce(s, named, patch)
	}
	merged := maps.Clone(old)
	for name, value := range patch {
		if f := s.Field(name); value == nil && f != nil && f.Auto {
			continue // what the server makes cannot be taken away
		}
		fields, record := recordOf(s.Fields, name)
		if name == variantField && variant != nil {
			fields, record = variant.Fields, true
		}
		merged[name] = overlay(fields, record, merged[name], value)
	}
	return merged
}

// coerce converts a patch that came as a form: the whole entity decides the types.
func coerce(s *schema.Schema, whole, patch map[string]any) map[string]any {
	converted := s.Coerce(whole)
	out := make(map[string]any, len(patch))
	for name := range patch {
		out[name] = converted[name]
	}
	return out
}

// recordOf gives the fields below the field called name, if it is a record.
func recordOf(fields []schema.Field, name string) ([]schema.Field, bool) {
	for i := range fields {
		if fields[i].Name == name {
			return fields[i].Fields, fields[i].Type == schema.Record
		}
	}
	return nil, false
}

// overlay gives a field's new value: a record keeps what the patch does not name.
func overlay(fields []schema.Field, record bool, old, value any) any {
	before, was := old.(map[string]any)
	after, is := value.(map[string]any)
	if !record || !was || !is {
		return value
	}
	out := maps.Clone(before)
	for name, v := range after {
		below, nested := recordOf(fields, name)
		out[name] = overlay(below, nested, out[name], v)
	}
	return out
}
