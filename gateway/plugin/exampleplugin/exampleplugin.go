// Package exampleplugin marks every answer with a header, so that a client can tell whether the
// plugin runs: the "example-plugin" of the documents.
package exampleplugin

import (
	"net/http"

	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

// Header is what the plugin sets, to "active".
const Header = "X-Example-Plugin"

type example struct{}

// New makes the plugin.
func New() plugin.Plugin { return example{} }

func (example) Name() string           { return "example-plugin" }
func (example) Priority() int          { return 0 }
func (example) Config() *schema.Schema { return &schema.Schema{Name: "example-plugin"} }

func (example) New(map[string]any) (plugin.Handler, error) { return marker{}, nil }

type marker struct{ plugin.Quiet }

// Response sets the header, over one of the service's.
func (marker) Response(_ *plugin.Exchange, answer *http.Response) error {
	answer.Header.Set(Header, "active")
	return nil
}
