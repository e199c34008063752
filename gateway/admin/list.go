package admin

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"tidemark/gateway/admin/body"
	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
	"tidemark/gateway/store"
)

// The sizes of a page.
const (
	defaultPage = 100
	longestPage = 1000
	maxTags     = 5
)

// list answers one page of a collection, and the way to the next.
func (a *api) list(c *call, p place) (answer, error) {
	if p.parent == nil {
		if found, err := a.byUnique(c, p.kind); found != nil || err != nil {
			return ok(found), err
		}
	}
	o, err := pageOf(c.args)
	if err != nil {
		return answer{}, err
	}
	parent, err := a.parentID(c.ctx, c, p)
	if err != nil {
		return answer{}, err
	}
	path := "/" + p.kind.Path
	if p.parent != nil {
		o.Where = map[string]string{p.field: parent}
		path = "/" + p.parent.Path + "/" + parent + "/" + p.kind.Nested
	}
	objects, after, err := a.Store.List(c.ctx, p.kind, o)
	if err != nil {
		return answer{}, err
	}
	if objects == nil {
		objects = []entity.Object{}
	}
	answered := map[string]any{"data": objects, "next": nil}
	if after != "" {
		offset := offsetOf(after)
		answered["offset"] = offset
		answered["next"] = path + "?offset=" + offset + kept(c.args, p)
	}
	return ok(answered), nil
}

// kept are the arguments that the next page's address repeats; below another entity it repeats none.
func kept(args url.Values, p place) string {
	if p.parent != nil {
		return ""
	}
	var s string
	for _, name := range []string{"tags", "size"} {
		if args.Has(name) {
			s += "&" + name + "=" + escape(args.Get(name))
		}
	}
	return s
}

// byUnique answers a list that asks for one entity by a unique field of its own besides the
// endpoint key: `/consumers?custom_id=x`. Nil, nil: the request asks for no such thing.
func (a *api) byUnique(c *call, k *entity.Kind) (any, error) {
	for _, unique := range k.Unique {
		if len(unique) != 1 || unique[0] == k.EndpointKey || !c.args.Has(unique[0]) {
			continue
		}
		field := unique[0]
		if text := c.args[field]; len(text) != 1 || k.CheckKey(entity.Key{Field: field, Value: text[0]}) != nil {
			return nil, refuse(http.StatusBadRequest, field+" must be an unempty string")
		}
		objects, _, err := a.Store.List(c.ctx, k, store.ListOptions{Size: 1, Where: map[string]string{field: c.args.Get(field)}})
		if objects == nil {
			objects = []entity.Object{}
		}
		return map[string]any{"data": objects, "next": nil}, err
	}
	return nil, nil
}

// pageOf reads size, offset and tags.
func pageOf(args url.Values) (store.ListOptions, error) {
	o := store.ListOptions{Size: defaultPage}
	var err error
	if args.Has("size") {
		if o.Size, err = sizeOf(args["size"]); err != nil {
			return o, err
		}
	}
	if args.Has("offset") {
		if o.After, err = afterOf(args.Get("offset")); err != nil {
			return o, err
		}
	}
	if args.Has("tags") {
		o.Tags, o.AnyTag, err = tagsOf(args.Get("tags"))
	}
	return o, err
}

func sizeOf(given []string) (int, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(given[0]), 64)
	if err != nil || len(given) > 1 || math.IsNaN(n) {
		return 0, invalidSize("a number")
	}
	if n != math.Trunc(n) || n < 1 || n > longestPage {
		return 0, invalidSize("an integer between 1 and 1000")
	}
	return int(n), nil
}

// offsetOf hides the id that a page ended with: base64url of a JSON list.
func offsetOf(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`["` + id + `"]`))
}

func afterOf(offset string) (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(offset, "="))
	if err != nil {
		return "", invalidOffset(offset, "bad base64 encoding")
	}
	var key []string
	if json.Unmarshal(text, &key) != nil {
		return "", invalidOffset(offset, "bad json encoding")
	}
	if len(key) != 1 || !schema.IsUUID(key[0]) {
		return "", invalidOffset(offset, "bad primary key")
	}
	return key[0], nil
}

// tagsOf reads `a,b` (all of them) or `a/b` (any of them).
func tagsOf(filter string) (tags []string, anyTag bool, err error) {
	if filter == "" {
		return nil, false, invalidOption("tags", "cannot be null")
	}
	separator := ","
	if anyTag = strings.Contains(filter, "/"); anyTag {
		separator = "/"
		if strings.Contains(filter, ",") {
			return nil, false, invalidOption("tags", "invalid filter syntax")
		}
	}
	tags = strings.Split(filter, separator)
	for _, t := range tags {
		if t == "" || body.Legible(t) != nil {
			return nil, false, invalidOption("tags", "invalid filter syntax")
		}
	}
	if len(tags) > maxTags {
		return nil, false, invalidOption("tags", "cannot query more than 5 tags")
	}
	return tags, anyTag, nil
}

// escape encodes a value for a query string.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
