package store

import "github.com/jackc/pgx/v5/pgxpool"

// A fence says until which position a key is loaded from the primary.
type fence struct{}

// raise makes every load go to the primary until the replica has replayed own; 0: until a position
// could be read there.
func (s *Store) raise(own LSN) {}

// loaded raises the fence of one key ("" is the router): it was read from the primary at position.
func (s *Store) loaded(key string, position LSN) {}

// reader is the server from which key is to be loaded.
func (s *Store) reader(key string) *pgxpool.Pool {
	if s.replica != nil {
		return s.replica
	}
	return s.primary
}
