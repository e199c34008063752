package plugin

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// A fake is a plugin whose instances do nothing.
type fake struct {
	name     string
	priority int
}

func (f fake) Name() string         { return f.name }
func (f fake) Priority() int        { return f.priority }
func (fake) Config() *schema.Schema { return &schema.Schema{} }
func (fake) New(c map[string]any) (Handler, error) {
	if c["bad"] != nil {
		return nil, errors.New("bad configuration")
	}
	return Quiet{}, nil
}

// A finder finds out who calls, so no instance of it belongs to a consumer.
type finder struct{ fake }

func (finder) NoConsumer() {}

func TestTheMostSpecificInstanceWins(t *testing.T) {
	scopes := []struct{ name, route, service, consumer string }{ // from the most to the least specific
		{"all three", "r", "s", "c"},
		{"route and consumer", "r", "", "c"},
		{"service and consumer", "", "s", "c"},
		{"route and service", "r", "s", ""},
		{"consumer", "", "", "c"},
		{"route", "r", "", ""},
		{"service", "", "s", ""},
		{"global", "", "", ""},
	}
	for i := range scopes {
		var plugins []entity.Plugin
		for _, s := range slices.Backward(scopes[i:]) {
			plugins = append(plugins, entity.Plugin{
				ID: s.name, Name: "p", Enabled: true, RouteID: s.route, ServiceID: s.service, ConsumerID: s.consumer,
			})
		}
		// Others' instances concern nobody here.
		plugins = append(plugins, entity.Plugin{ID: "other", Name: "p", Enabled: true, RouteID: "other", ServiceID: "s", ConsumerID: "c"})
		x, err := Build(plugins, []Plugin{fake{"p", 1}})
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(x.For("r", "s", "c")); !slices.Equal(got, []string{scopes[i].name}) {
			t.Errorf("got %v, want %s", got, scopes[i].name)
		}
	}
}

func ids(chain []Bound) (ids []string) {
	for _, b := range chain {
		ids = append(ids, b.ID)
	}
	return ids
}

func TestWhatRuns(t *testing.T) {
	x, err := Build([]entity.Plugin{
		{ID: "1", Name: "low", Enabled: true},
		{ID: "2", Name: "high", Enabled: true, ServiceID: "s"},
		{ID: "3", Name: "b", Enabled: true},
		{ID: "4", Name: "a", Enabled: true},
		{ID: "5", Name: "off"},
		{ID: "6", Name: "stream", Enabled: true, Protocols: []string{"tcp", "tls"}},
		{ID: "7", Name: "find", Enabled: true, ConsumerID: "c"},
		{ID: "8", Name: "find", Enabled: true},
		{ID: "9", Name: "low", Enabled: true, Protocols: []string{"https"}, RouteID: "r"},
	}, []Plugin{fake{"low", 1}, fake{"high", 9}, fake{"a", 5}, fake{"b", 5}, fake{"off", 5}, fake{"stream", 5}, finder{fake{"find", 7}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		route, service, consumer string
		want                     []string
	}{
		{"", "", "", []string{"8", "4", "3", "1"}},
		{"", "s", "", []string{"2", "8", "4", "3", "1"}},
		{"r", "s", "c", []string{"2", "8", "4", "3", "9"}},
	} {
		if got := ids(x.For(c.route, c.service, c.consumer)); !slices.Equal(got, c.want) {
			t.Errorf("For(%q, %q, %q) = %v, want %v", c.route, c.service, c.consumer, got, c.want)
		}
	}
	if got := new(Index).For("r", "s", "c"); got != nil {
		t.Errorf("the zero index has %v", got)
	}
}

func TestWhatCannotBeSetUpRefuses(t *testing.T) {
	x, err := Build([]entity.Plugin{
		{ID: "1", Name: "p", Enabled: true, Config: map[string]any{"bad": true}},
		{ID: "2", Name: "unknown", Enabled: true},
		{ID: "3", Name: "good", Enabled: true},
		{ID: "4", Name: "good", Enabled: true},
	}, []Plugin{fake{"p", 1}, fake{"good", 2}})
	for _, want := range []string{"plugin p 1: bad configuration", "plugin unknown 2: it is not enabled", "plugin good 4: its scope is taken"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	for _, b := range x.For("", "", "") {
		if _, err := b.Handler.Access(nil); (err == nil) != (b.Name == "good") {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
	if x.Len() != 3 {
		t.Errorf("%d instances, want 3", x.Len())
	}
}

func exchange(body string) *Exchange {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	return &Exchange{Client: r, Upstream: &http.Request{Header: http.Header{}, Body: r.Body, ContentLength: -1}}
}

func TestBody(t *testing.T) {
	x := exchange("hello")
	for range 2 {
		if b, err := x.Body(5); string(b) != "hello" || err != nil {
			t.Fatalf("%q, %v", b, err)
		}
	}
	if x.Upstream.ContentLength != 5 || x.Upstream.GetBody == nil {
		t.Errorf("length %d", x.Upstream.ContentLength)
	}
	x = exchange("hello")
	if b, err := x.Body(4); b != nil || !errors.Is(err, ErrBodyTooLarge) {
		t.Errorf("%q, %v", b, err)
	}
	if rest, err := io.ReadAll(x.Upstream.Body); string(rest) != "hello" || err != nil {
		t.Errorf("what goes on is %q, %v", rest, err)
	}
}

func TestAuthenticateLeavesNothingOfTheClientsClaims(t *testing.T) {
	x := exchange("")
	for _, h := range []string{"X-Consumer-Id", "X-Consumer-Custom-Id", "X-Consumer-Username", "X-Credential-Identifier", "X-Anonymous-Consumer"} {
		x.Upstream.Header.Set(h, "root")
	}
	x.Authenticate(&entity.Consumer{ID: "c", Username: "al\r\nice: ü"}, "")
	for name, want := range map[string]string{
		"X-Consumer-Id": "c", "X-Consumer-Username": "alice: ü", "X-Consumer-Custom-Id": "", "X-Credential-Identifier": "", "X-Anonymous-Consumer": "true",
	} {
		if got := x.Upstream.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	x.Authenticate(&entity.Consumer{ID: "c"}, "cred")
	if got := x.Upstream.Header.Get("X-Anonymous-Consumer"); got != "" || x.Credential() != "cred" {
		t.Errorf("anonymous %q, credential %q", got, x.Credential())
	}
}

func TestReader(t *testing.T) {
	c := Read(map[string]any{
		"s": "x", "b": true, "i": int64(3), "f": 4.0, "n": nil, "l": []any{"a"},
		"r": map[string]any{"l": []any{"b"}},
	})
	if c.String("s", "") != "x" || !c.Bool("b", false) || c.Int("i", 0) != 3 || c.Int("f", 0) != 4 || c.Int("n", 5) != 5 ||
		c.String("none", "d") != "d" || c.Strings("l")[0] != "a" || c.Record("r").Strings("l")[0] != "b" || len(c.Record("n").Strings("l")) != 0 {
		t.Error("a field was read wrong")
	}
	if c.Err() != nil {
		t.Errorf("error %v", c.Err())
	}
	c.Record("r").Int("l", 0)
	c.String("b", "")
	if err := c.Err(); err == nil || err.Error() != "read config.r.l: unexpected []interface {}" {
		t.Errorf("error %v", err)
	}
}
