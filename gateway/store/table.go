package store

import "tidemark/gateway/entity"

// A table is what SQL has to know of a kind.
type table struct{ kind *entity.Kind }

func newTable(k *entity.Kind) *table { return &table{kind: k} }
