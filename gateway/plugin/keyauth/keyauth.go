// Package keyauth lets in who shows a key of a consumer, and tells the service who that is.
//
// A key that is unknown, expired or shown twice is refused. A key that cannot be looked up is an
// error, never a permission.
package keyauth

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

// A Lookup finds credentials and consumers. nil without an error: there is none.
type Lookup interface {
	Credential(ctx context.Context, key string) (*entity.KeyAuth, error)
	// Consumer finds by id; for the property "anonymous" also by username.
	Consumer(ctx context.Context, id string) (*entity.Consumer, error)
}

// maxBody is the largest body in which a key is looked for, in bytes.
const maxBody = 1 << 20

type keyAuth struct{ lookup Lookup }

// New makes the plugin.
func New(lookup Lookup) plugin.Plugin { return &keyAuth{lookup: lookup} }

func (*keyAuth) Name() string  { return "key-auth" }
func (*keyAuth) Priority() int { return 1250 }
func (*keyAuth) NoConsumer()   {}

// Config declares the fields.
func (*keyAuth) Config() *schema.Schema {
	flag := func(name string, on bool) schema.Field {
		return schema.Field{Name: name, Type: schema.Boolean, Required: true, Default: on}
	}
	return &schema.Schema{Name: "key-auth", Fields: []schema.Field{
		{
			Name: "key_names", Type: schema.Array, Required: true, Default: []any{"apikey"},
			Elements: &schema.Field{Type: schema.String, Check: headerName},
		},
		flag("hide_credentials", false),
		{Name: "anonymous", Type: schema.String},
		flag("key_in_header", true),
		flag("key_in_query", true),
		flag("key_in_body", false),
		flag("run_on_preflight", true),
		{Name: "realm", Type: schema.String},
	}}
}

// headerName refuses a name that no header can have.
func headerName(value any) error {
	name, _ := value.(string)
	for _, c := range name {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Errorf("bad header name '%s', allowed characters are A-Z, a-z, 0-9, '_', and '-'", name)
		}
	}
	return nil
}

// New makes an instance.
func (k *keyAuth) New(config map[string]any) (plugin.Handler, error) {
	c := plugin.Read(config)
	h := &handler{
		lookup:    k.lookup,
		names:     c.Strings("key_names"),
		inHeader:  c.Bool("key_in_header", true),
		inQuery:   c.Bool("key_in_query", true),
		inBody:    c.Bool("key_in_body", false),
		hide:      c.Bool("hide_credentials", false),
		anonymous: c.String("anonymous", ""),
		preflight: c.Bool("run_on_preflight", true),
		challenge: "Key",
	}
	if realm := c.String("realm", ""); realm != "" {
		h.challenge = fmt.Sprintf("Key realm=%q", realm)
	}
	return h, c.Err()
}

type handler struct {
	plugin.Quiet
	lookup                    Lookup
	names                     []string
	inHeader, inQuery, inBody bool
	hide                      bool
	anonymous                 string // a consumer's id or username; empty: nobody gets in without a key
	preflight                 bool
	challenge                 string
}

// Access lets the request pass, as a consumer's or as the anonymous consumer's, or refuses it.
func (h *handler) Access(x *plugin.Exchange) (*plugin.Answer, error) {
	if !h.preflight && x.Client.Method == http.MethodOptions {
		return nil, nil
	}
	if h.anonymous != "" && x.Credential() != "" {
		return nil, nil // another plugin knows the caller already
	}
	refusal, err := h.authenticate(x)
	if err != nil || refusal == "" {
		return nil, err
	}
	if h.anonymous != "" {
		return nil, h.admit(x)
	}
	return &plugin.Answer{
		Status:  http.StatusUnauthorized,
		Message: refusal,
		Header:  http.Header{"Www-Authenticate": {h.challenge}},
	}, nil
}

// admit lets the request pass as the anonymous consumer's.
func (h *handler) admit(x *plugin.Exchange) error {
	consumer, err := h.lookup.Consumer(x.Context(), h.anonymous)
	if err != nil {
		return fmt.Errorf("look up anonymous consumer: %w", err)
	}
	if consumer == nil {
		return fmt.Errorf("look up anonymous consumer: %s does not exist", h.anonymous)
	}
	x.Authenticate(consumer, "")
	return nil
}

// authenticate finds out who calls; the refusal is empty when that succeeded.
func (h *handler) authenticate(x *plugin.Exchange) (refusal string, err error) {
	key, refusal := h.key(x)
	if refusal != "" {
		return refusal, nil
	}
	credential, err := h.lookup.Credential(x.Context(), key)
	if err != nil {
		return "", fmt.Errorf("look up credential: %w", err)
	}
	if credential == nil || expired(credential, time.Now()) {
		return "Unauthorized", nil
	}
	consumer, err := h.lookup.Consumer(x.Context(), credential.ConsumerID)
	if err != nil {
		return "", fmt.Errorf("look up consumer: %w", err)
	}
	if consumer == nil { // deleted between the two
		return "Unauthorized", nil
	}
	x.Authenticate(consumer, credential.ID)
	return "", nil
}

func expired(c *entity.KeyAuth, now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}

// key finds the key under the first name that the request has, and hides it where that is asked.
func (h *handler) key(x *plugin.Exchange) (key, refusal string) {
	var body *fields
	for _, name := range h.names {
		var found []string
		if h.inHeader {
			found = x.Client.Header.Values(name)
		}
		if len(found) == 0 && h.inQuery {
			found = inQuery(x.Client.URL.RawQuery, name)
		}
		if len(found) == 0 && h.inBody {
			if body == nil {
				body = readFields(x)
			}
			found = body.get(name)
		}
		switch {
		case len(found) > 1:
			return "", "Duplicate API key found"
		case len(found) == 0:
			continue
		}
		if h.hide {
			h.conceal(x, name)
		}
		key = found[0]
		break
	}
	if key == "" {
		return "", "No API key found in request"
	}
	return key, ""
}

// conceal takes the key out of all that goes to the service.
func (h *handler) conceal(x *plugin.Exchange, name string) {
	x.Upstream.Header.Del(name)
	x.Upstream.URL.RawQuery = withoutArgument(x.Upstream.URL.RawQuery, name)
	if h.inBody {
		readFields(x).remove(x, name)
	}
}

// inQuery gives the values of an argument, undecodable ones as they are.
func inQuery(query, name string) (values []string) {
	for argument := range strings.SplitSeq(query, "&") {
		n, v, _ := strings.Cut(argument, "=")
		if unescape(n) == name {
			values = append(values, unescape(v))
		}
	}
	return values
}

// withoutArgument takes an argument out and leaves the others byte for byte.
func withoutArgument(query, name string) string {
	var kept []string
	for argument := range strings.SplitSeq(query, "&") {
		if n, _, _ := strings.Cut(argument, "="); unescape(n) != name {
			kept = append(kept, argument)
		}
	}
	return strings.Join(kept, "&")
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// fields are the top-level members of a form or JSON body. A body that cannot be read has none.
type fields struct {
	form string
	json map[string]any
}

func readFields(x *plugin.Exchange) *fields {
	media, _, err := mime.ParseMediaType(x.Client.Header.Get("Content-Type"))
	if err != nil || media != "application/json" && media != "application/x-www-form-urlencoded" {
		return &fields{}
	}
	body, err := x.Body(maxBody)
	if err != nil {
		return &fields{}
	}
	if media != "application/json" {
		return &fields{form: string(body)}
	}
	f := &fields{}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if d.Decode(&f.json) != nil {
		f.json = nil
	}
	return f
}

// get gives the values of a member; several only of a form or a JSON list.
func (f *fields) get(name string) (values []string) {
	if f.json == nil {
		return inQuery(f.form, name)
	}
	switch v := f.json[name].(type) {
	case string:
		return []string{v}
	case []any:
		return make([]string, 2) // a list is more than one key, whatever is in it
	}
	return nil
}

// remove writes the body anew without a member.
func (f *fields) remove(x *plugin.Exchange, name string) {
	if f.json == nil {
		if rest := withoutArgument(f.form, name); rest != f.form {
			x.SetBody([]byte(rest))
		}
		return
	}
	if _, have := f.json[name]; !have {
		return
	}
	delete(f.json, name)
	if b, err := json.Marshal(f.json); err == nil {
		x.SetBody(b)
	}
}
