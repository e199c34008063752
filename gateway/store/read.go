package store

import (
	"context"

	"tidemark/gateway/entity"
)

// ListOptions select and page a list.
type ListOptions struct {
	Size   int    // of a page, 1..1000; 0: 100
	After  string // the id that the page before ended with
	Tags   []string
	AnyTag bool              // one of Tags is enough; otherwise all are needed
	Where  map[string]string // field -> value; of a foreign field the id
}

// Get reads one entity, or ErrNotFound.
func (s *Store) Get(ctx context.Context, k *entity.Kind, by entity.Key) (entity.Object, error) {
	return nil, ErrNotFound
}

// List reads a page in the order of ids, and the id after which the next one begins.
func (s *Store) List(ctx context.Context, k *entity.Kind, o ListOptions) (objects []entity.Object, next string, err error) {
	return nil, "", nil
}

// A Snapshot is what a router and a list of plugins are built from, all of one moment.
type Snapshot struct {
	Services, Routes, Plugins []entity.Object
	Workspace                 string
}

// Snapshot reads all that a build needs.
func (s *Store) Snapshot(ctx context.Context) (Snapshot, error) { return Snapshot{}, nil }

// Load reads one entity for the data plane; nil, nil says that there is none.
func (s *Store) Load(ctx context.Context, k *entity.Kind, by entity.Key, cacheKey string) (entity.Object, error) {
	return nil, nil
}
