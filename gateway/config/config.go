// Package config holds every property of a node: its name, its default, its bounds, and which
// environment variable or line of a file sets it.
package config

// A Defect is one named way to break the reference gateway.
type Defect struct {
	Name   string `json:"name"`
	Breaks string `json:"breaks"`
}

// A Warning says what is odd about a configuration that is good enough to start with.
type Warning string

// A Listen is one address of a listener.
type Listen struct {
	Address   string // host:port
	TLS       bool
	HTTP2     bool
	ReusePort bool
	Backlog   int
}

// Config is what is in force on a node.
type Config struct{}

// Defaults gives every property's default.
func Defaults() Config { return Config{} }

// Load reads the file (none when empty) and the environment, which wins.
func Load(file string, environ []string) (Config, []Warning, error) { return Defaults(), nil, nil }

// Validate says which property is out of bounds, and what is allowed.
func (c Config) Validate() error { return nil }

// A Property is one line of a configuration as it is in force.
type Property struct {
	Name  string
	Value any
}

// Dump lists every property in order, secrets hidden.
func (c Config) Dump() []Property { return nil }

// Defects lists every defect of every room.
func Defects() []Defect { return nil }

// Break switches one defect on.
func (c *Config) Break(name string) error { return nil }
