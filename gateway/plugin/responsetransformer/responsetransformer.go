// Package responsetransformer changes headers and JSON bodies on their way back to the client.
package responsetransformer

import (
	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

type transformer struct{}

// New makes the plugin.
func New() plugin.Plugin { return transformer{} }

func (transformer) Name() string           { return "response-transformer" }
func (transformer) Priority() int          { return 800 }
func (transformer) Config() *schema.Schema { return &schema.Schema{Name: "response-transformer"} }

func (transformer) New(map[string]any) (plugin.Handler, error) { return plugin.Quiet{}, nil }
