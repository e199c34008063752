package admin

import (
	"encoding/json"

	"tidemark/gateway/entity"
)

// cached shows what this node holds under a key, which is the path's last segment as it came (CLU-59).
func (a *api) cached(c *call) (answer, error) {
	value, found := a.Cache.Peek(c.params[0])
	if !found {
		return answer{}, absent()
	}
	shown, err := shape(value)
	return ok(shown), err
}

// drop forgets a hit or a miss by hand (CLU-60); that there was none is no error.
func (a *api) drop(c *call) (answer, error) {
	a.Cache.Drop(c.params[0])
	return noContent, nil
}

// purge empties the cache of this node, and of no other (CLU-58a). The build that follows caches the
// services that it has read: /cache shows them right after the purge, as they are in the database,
// where Kong shows none until a request needs them. What was there before the purge is gone either way.
func (a *api) purge(c *call) (answer, error) {
	a.Cache.DropAll()
	if a.PurgeAll != nil {
		a.PurgeAll(c.ctx)
	}
	return noContent, nil
}

// shape is how /cache shows a value: an entity without its nulls, a cached miss as an empty object, all
// else as a message.
func shape(value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return struct{}{}, nil
	case entity.Object:
		return withoutNulls(v), nil
	case string, bool, int, int64, float64:
		return map[string]any{"message": v}, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, err
	}
	if o, isObject := plain.(map[string]any); isObject {
		return withoutNulls(o), nil
	}
	return map[string]any{"message": plain}, nil
}

func withoutNulls(o map[string]any) map[string]any {
	out := make(map[string]any, len(o))
	for name, v := range o {
		switch v := v.(type) {
		case nil:
		case map[string]any:
			out[name] = withoutNulls(v)
		default:
			out[name] = v
		}
	}
	return out
}
