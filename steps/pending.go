package steps

import (
	"context"

	"tidemark/cluster"
)

func value(ctx context.Context, c any, template string) (string, error) {
	if v, ok := c.(interface {
		Value(context.Context, string, map[string]string) (string, error)
	}); ok {
		return v.Value(ctx, template, nil)
	}
	return "", &cluster.UnsupportedError{Why: "this driver reads no values from the database"}
}
