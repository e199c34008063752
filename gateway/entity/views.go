package entity

import (
	"fmt"
	"time"
)

// A Service is where the requests of its routes go.
type Service struct {
	ID, Name       string
	Protocol, Host string
	Port           int
	Path           string // empty when unset
	Retries        int    // tries after the first
	ConnectTimeout time.Duration
	WriteTimeout   time.Duration
	ReadTimeout    time.Duration
	Enabled        bool
	TLSVerify      *bool // nil: the node's default
	Tags           []string
	Whole          *Whole
}

// A Route says which requests go to its service.
type Route struct {
	ID, Name                string
	Protocols               []string
	Methods, Hosts, Paths   []string // a path that begins with "~" is a regular expression
	Headers                 map[string][]string
	SNIs                    []string
	HTTPSRedirectStatusCode int
	RegexPriority           int
	StripPath, PreserveHost bool
	RequestBuffering        bool
	ResponseBuffering       bool
	PathHandling            string
	ServiceID               string // empty: none
	CreatedAt               time.Time
	Tags                    []string
	Whole                   *Whole
}

// A Consumer is who calls.
type Consumer struct {
	ID, Username, CustomID string
	Tags                   []string
	Whole                  *Whole
}

// A Plugin is one configured plugin; an empty scope id means: not bound to one.
type Plugin struct {
	ID, Name, InstanceName         string
	RouteID, ServiceID, ConsumerID string
	Config                         map[string]any
	Protocols                      []string
	Enabled                        bool
	CreatedAt                      time.Time
	Tags                           []string
}

// A KeyAuth is a consumer's key.
type KeyAuth struct {
	ID, Key, ConsumerID string
	Expires             time.Time // zero: never
	Tags                []string
}

// ServiceOf decodes a service. Null counts and timeouts are the defaults.
func ServiceOf(o Object) (Service, error) {
	r := reader{kind: "service", o: o}
	service := Service{
		ID: r.text("id"), Name: r.text("name"), Protocol: r.text("protocol"), Host: r.text("host"),
		Port: r.count("port", 80), Path: r.text("path"), Retries: r.count("retries", 5),
		ConnectTimeout: r.millis("connect_timeout"),
		WriteTimeout:   r.millis("write_timeout"),
		ReadTimeout:    r.millis("read_timeout"),
		Enabled:        r.flag("enabled", true), Tags: r.list("tags"), Whole: &Whole{object: o},
	}
	if o["tls_verify"] != nil {
		verify := r.flag("tls_verify", false)
		service.TLSVerify = &verify
	}
	return service, r.err
}

// RouteOf decodes a route.
func RouteOf(o Object) (Route, error) {
	r := reader{kind: "route", o: o}
	route := Route{
		ID: r.text("id"), Name: r.text("name"), Protocols: r.list("protocols"),
		Methods: r.list("methods"), Hosts: r.list("hosts"), Paths: r.list("paths"),
		Headers: r.lists("headers"), SNIs: r.list("snis"),
		HTTPSRedirectStatusCode: r.count("https_redirect_status_code", 426),
		RegexPriority:           r.count("regex_priority", 0),
		StripPath:               r.flag("strip_path", true), PreserveHost: r.flag("preserve_host", false),
		RequestBuffering:  r.flag("request_buffering", true),
		ResponseBuffering: r.flag("response_buffering", true),
		PathHandling:      r.text("path_handling"), ServiceID: Value(o, "service"),
		CreatedAt: time.Unix(int64(r.count("created_at", 0)), 0), Tags: r.list("tags"), Whole: &Whole{object: o},
	}
	return route, r.err
}

// ConsumerOf decodes a consumer.
func ConsumerOf(o Object) (Consumer, error) {
	r := reader{kind: "consumer", o: o}
	return Consumer{
		ID: r.text("id"), Username: r.text("username"), CustomID: r.text("custom_id"), Tags: r.list("tags"),
		Whole: &Whole{object: o},
	}, r.err
}

// PluginOf decodes a plugin.
func PluginOf(o Object) (Plugin, error) {
	r := reader{kind: "plugin", o: o}
	plugin := Plugin{
		ID: r.text("id"), Name: r.text("name"), InstanceName: r.text("instance_name"),
		RouteID: Value(o, "route"), ServiceID: Value(o, "service"), ConsumerID: Value(o, "consumer"),
		Config: read[map[string]any](&r, "config", nil), Protocols: r.list("protocols"),
		Enabled: r.flag("enabled", true), Tags: r.list("tags"),
		CreatedAt: time.Unix(int64(r.count("created_at", 0)), 0),
	}
	return plugin, r.err
}

// KeyAuthOf decodes a key-auth credential. A ttl counts from now, so decode what was just read.
func KeyAuthOf(o Object) (KeyAuth, error) {
	r := reader{kind: "key-auth credential", o: o}
	key := KeyAuth{ID: r.text("id"), Key: r.text("key"), ConsumerID: Value(o, "consumer"), Tags: r.list("tags")}
	switch left := o["ttl"].(type) {
	case nil:
	case float64: // as the data plane loads it: a rounded one would end up to a second early
		key.Expires = time.Now().Add(time.Duration(left * float64(time.Second)))
	default:
		key.Expires = time.Now().Add(time.Duration(r.count("ttl", 0)) * time.Second)
	}
	return key, r.err
}

// A reader takes fields out of an object and keeps the first error.
type reader struct {
	kind string
	o    Object
	err  error
}

func read[T any](r *reader, field string, otherwise T) T {
	switch v := r.o[field].(type) {
	case nil:
		return otherwise
	case T:
		return v
	default:
		if r.err == nil {
			r.err = fmt.Errorf("decode %s %v: %s is a %T", r.kind, r.o["id"], field, v)
		}
		return otherwise
	}
}

func (r *reader) text(field string) string { return read(r, field, "") }

func (r *reader) flag(field string, otherwise bool) bool { return read(r, field, otherwise) }

func (r *reader) count(field string, otherwise int) int {
	return int(read(r, field, int64(otherwise)))
}

func (r *reader) millis(field string) time.Duration {
	return time.Duration(r.count(field, 60000)) * time.Millisecond
}

func (r *reader) list(field string) []string {
	list := read[[]any](r, field, nil)
	for _, v := range list {
		if _, is := v.(string); !is && r.err == nil { // a path less could match all
			r.err = fmt.Errorf("decode %s %v: %s has a %T in it", r.kind, r.o["id"], field, v)
		}
	}
	return texts(list)
}

func (r *reader) lists(field string) map[string][]string {
	m := read[map[string]any](r, field, nil)
	if m == nil {
		return nil
	}
	out := make(map[string][]string, len(m))
	for name, values := range m {
		out[name] = texts(values)
	}
	return out
}
