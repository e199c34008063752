// Package keyauth lets in who shows a key of a consumer.
package keyauth

import (
	"context"

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

type keyAuth struct{ lookup Lookup }

// New makes the plugin.
func New(lookup Lookup) plugin.Plugin { return &keyAuth{lookup: lookup} }

func (*keyAuth) Name() string           { return "key-auth" }
func (*keyAuth) Priority() int          { return 1250 }
func (*keyAuth) NoConsumer()            {}
func (*keyAuth) Config() *schema.Schema { return &schema.Schema{Name: "key-auth"} }

func (*keyAuth) New(map[string]any) (plugin.Handler, error) { return plugin.Quiet{}, nil }
