package entity

import "time"

// A Service is where the requests of its routes go.
type Service struct {
	ID, Name       string
	Protocol, Host string
	Port           int
	Path           string // empty when unset
	Retries        int
	ConnectTimeout time.Duration
	WriteTimeout   time.Duration
	ReadTimeout    time.Duration
	Enabled        bool
	TLSVerify      *bool // nil: the node's default
	Tags           []string
}

// A Route says which requests go to its service.
type Route struct {
	ID, Name                string
	Protocols               []string
	Methods, Hosts, Paths   []string
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
}

// A Consumer is who calls.
type Consumer struct {
	ID, Username, CustomID string
	Tags                   []string
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

// ServiceOf decodes a service.
func ServiceOf(o Object) (Service, error) { return Service{}, nil }

// RouteOf decodes a route.
func RouteOf(o Object) (Route, error) { return Route{}, nil }

// ConsumerOf decodes a consumer.
func ConsumerOf(o Object) (Consumer, error) { return Consumer{}, nil }

// PluginOf decodes a plugin.
func PluginOf(o Object) (Plugin, error) { return Plugin{}, nil }

// KeyAuthOf decodes a key-auth credential.
func KeyAuthOf(o Object) (KeyAuth, error) { return KeyAuth{}, nil }
