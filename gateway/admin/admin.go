// Package admin is the control plane: entities in, entities out, and a look into one node.
//
// The tree of endpoints is derived from the entity catalogue: a kind's collection, its entries by
// id or endpoint key, and both again under every kind that it refers to. A write is answered after
// its store says that it is committed and applied to this node, so that the next request to this
// node, to either of its planes, sees it (CLU-13). Reads ask the primary and say nothing about the caches of
// the data plane (CLU-02), except /cache, which shows one node's cache and never loads (CLU-59).
//
// Bad input is answered with the error object of the Admin API and a status below 500. A panic in
// a handler costs its request a 500 and a log line, never the process.
//
// It is above the size of a room because the wire has many small rules; each file holds those of one
// topic, and package body those of reading a request.
package admin

import (
	"context"
	"log/slog"
	"net/http"

	"tidemark/gateway/entity"
	"tidemark/gateway/store"
)

// A Store is what the Admin API needs of the database, and no more. All of it runs on the primary.
// What it refuses is a *store.Error, answered as it is; any other error is a 500. A reference that
// names its entity by the endpoint key is resolved by the writes.
type Store interface {
	// Get returns one entity, or store.ErrNotFound.
	Get(ctx context.Context, k *entity.Kind, by entity.Key) (entity.Object, error)
	// List returns a page in the order of ids and the id to go on after, empty on the last page.
	List(ctx context.Context, k *entity.Kind, o store.ListOptions) ([]entity.Object, string, error)
	Insert(ctx context.Context, k *entity.Kind, o entity.Object) (store.Change, error)
	// Update hands the locked row to merge and stores what it returns; merge's errors come back
	// as they are.
	Update(ctx context.Context, k *entity.Kind, by entity.Key, merge func(old entity.Object) (entity.Object, error)) (store.Change, error)
	// Upsert replaces or creates; addressed by a name it keeps the stored id.
	Upsert(ctx context.Context, k *entity.Kind, by entity.Key, o entity.Object) (store.Change, error)
	// Delete says with Found whether there was anything.
	Delete(ctx context.Context, k *entity.Kind, by entity.Key) (store.Change, error)
	// Ready is nil while the database answers.
	Ready(ctx context.Context) error
}

// A Cache is this node's cache, as far as /cache shows and purges it.
type Cache interface {
	// Peek never loads. A cached miss is found with a nil value.
	Peek(key string) (v any, found bool)
	Drop(keys ...string)
	DropAll()
}

// Options are what New needs.
type Options struct {
	Catalog *entity.Catalog
	Store   Store
	Cache   Cache
	// PurgeAll runs after DELETE /cache emptied the cache, before its answer: the node builds its
	// router and its list of plugins anew. May be nil.
	PurgeAll func(ctx context.Context)
	// Info adds to the fields of GET /: node_id, configuration, plugins.available_on_server. Its
	// objects are merged with what this package knows by itself. May be nil.
	Info func(ctx context.Context) (map[string]any, error)
	// Status adds to the fields of GET /status in the same way: server, tidemark. May be nil.
	Status func(ctx context.Context) map[string]any
	// Timers answers GET /timers: the jobs of this node's workers. May be nil.
	Timers func() map[string]any
	// Refuse gives the answer to what is no request for any endpoint, 0 for all else. May be nil.
	Refuse func(r *http.Request) (status int, message string)
	// MaxBody is the longest request body in bytes, 413 above it. 0: 10 MiB.
	MaxBody int64
	Logger  *slog.Logger
}

// StatusOptions are what NewStatus needs.
type StatusOptions struct {
	// Ready is nil when the node can take traffic; its text is the message of the 503.
	Ready func(ctx context.Context) error
	// Status is as in Options. Without a database field in it, /status asks Ready.
	Status func(ctx context.Context) map[string]any
	Logger *slog.Logger
}

// New returns the handler of the Admin API. It is safe for concurrent use.
func New(o Options) http.Handler {
	p := newPlane(o.Logger, o.MaxBody)
	p.credentials, p.refuse = true, o.Refuse
	a := &api{Options: o, plane: p}
	a.endpoints(p.root)
	return p
}

// NewStatus returns the handler of the status listener: /status and /status/ready.
func NewStatus(o StatusOptions) http.Handler {
	p := newPlane(o.Logger, 0)
	statusEndpoints(p, o)
	return p
}

// defaultMaxBody is in bytes.
const defaultMaxBody = 10 << 20

func newPlane(log *slog.Logger, maxBody int64) *plane {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if maxBody <= 0 {
		maxBody = defaultMaxBody
	}
	return &plane{root: &node{}, maxBody: maxBody, log: log}
}
