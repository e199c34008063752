// Package requesttermination answers in place of the service.
package requesttermination

import (
	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

type termination struct{ nodeID string }

// New makes the plugin; nodeID is shown where "echo" is on.
func New(nodeID string) plugin.Plugin { return &termination{nodeID: nodeID} }

func (*termination) Name() string           { return "request-termination" }
func (*termination) Priority() int          { return 2 }
func (*termination) Config() *schema.Schema { return &schema.Schema{Name: "request-termination"} }

func (*termination) New(map[string]any) (plugin.Handler, error) { return plugin.Quiet{}, nil }
