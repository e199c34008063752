package store

import (
	"context"

	"tidemark/gateway/entity"
)

// Insert creates o.
func (s *Store) Insert(ctx context.Context, k *entity.Kind, o entity.Object) (Change, error) {
	return Change{}, nil
}

// Update changes what by addresses: merge makes the new state of the locked row.
func (s *Store) Update(ctx context.Context, k *entity.Kind, by entity.Key, merge func(old entity.Object) (entity.Object, error)) (Change, error) {
	return Change{}, nil
}

// Upsert replaces what by addresses, or creates it.
func (s *Store) Upsert(ctx context.Context, k *entity.Kind, by entity.Key, o entity.Object) (Change, error) {
	return Change{}, nil
}

// Delete deletes what by addresses, and what goes with it.
func (s *Store) Delete(ctx context.Context, k *entity.Kind, by entity.Key) (Change, error) {
	return Change{}, nil
}
