package entity

import (
	"encoding/json"
	"sync"
)

// A Whole is an entity with all its fields, for who shows it as it is: the views have only what
// serving needs. It is safe for concurrent use.
type Whole struct {
	object Object
	once   sync.Once
	text   []byte
}

// JSON is the entity without its nulls and with the workspace that it is in. It is encoded at the
// first call, whose workspace stays: a node has one. Who gets it must not change it. Nil without
// an entity.
func (w *Whole) JSON(workspace string) []byte {
	if w == nil {
		return nil
	}
	w.once.Do(func() {
		shown := withoutNulls(w.object)
		shown["ws_id"] = workspace
		w.text, _ = json.Marshal(shown) // what came from the database is JSON shaped
	})
	return w.text
}

func withoutNulls(o Object) Object {
	out := make(Object, len(o)+1)
	for name, v := range o {
		switch v := v.(type) {
		case nil:
		case Object:
			out[name] = withoutNulls(v)
		default:
			out[name] = v
		}
	}
	return out
}
