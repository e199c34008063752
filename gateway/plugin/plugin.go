// Package plugin defines what a plugin is and which configured instances an exchange runs.
//
// An [Index] is built whole from the configured instances and never changes. For one name the most
// specific instance wins, all others of that name are silent; what runs, runs by priority. An
// instance that cannot be set up is never skipped in silence: whoever it guards gets an error.
//
// A [Logger] is told of each exchange that has ended. What it makes of it, it hands to the queues
// of the [Worker] that served: [Serialize] makes the entry, [QueueField] and [QueueParams] are how
// a plugin's configuration speaks of its queue.
package plugin

import (
	"net/http"

	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// A Plugin is one sort of plugin. main lists those that a node knows; what a plugin needs of the
// node it gets in its constructor.
type Plugin interface {
	// Name is what the Admin API calls it, such as "key-auth".
	Name() string
	// Priority orders the plugins of an exchange: the highest runs first.
	Priority() int
	// Config declares the fields below "config".
	Config() *schema.Schema
	// New makes an instance of a configuration that the schema has accepted and filled.
	New(config map[string]any) (Handler, error)
}

// A ConsumerFree plugin must not be bound to a consumer: it is the one that finds out who calls.
type ConsumerFree interface {
	Plugin
	NoConsumer()
}

// A Handler is one configured instance. Both methods are called from many requests at once, and
// an error of either answers 500 without telling the client why.
type Handler interface {
	// Access runs before the request goes to the service. An answer ends the exchange: neither
	// later plugins nor the service see it. Blocking ends with the exchange's context.
	Access(x *Exchange) (*Answer, error)
	// Response runs on every answer that goes to the client, the gateway's own included, before
	// the first byte is sent. The body may be replaced; who does so sets ContentLength.
	Response(x *Exchange, answer *http.Response) error
}

// Quiet does nothing in either phase; a handler embeds it and writes the one that it needs.
type Quiet struct{}

// Access goes on.
func (Quiet) Access(*Exchange) (*Answer, error) { return nil, nil }

// Response leaves the answer as it is.
func (Quiet) Response(*Exchange, *http.Response) error { return nil }

// An Answer is what a plugin says instead of the service. With a Message the proxy writes an error
// body in the form that the client accepts; otherwise Body goes out as it is.
type Answer struct {
	Status      int
	Header      http.Header
	Message     string
	ContentType string
	Body        []byte
}

// SchemaOf tells the catalog about a plugin.
func SchemaOf(p Plugin, enabled bool) entity.PluginSchema {
	_, free := p.(ConsumerFree)
	return entity.PluginSchema{Name: p.Name(), Config: p.Config(), NoConsumer: free, Enabled: enabled}
}
