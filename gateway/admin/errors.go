package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"tidemark/gateway/admin/body"
	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
	"tidemark/gateway/store"
)

// A refusal is an error that knows its answer.
type refusal struct{ answer answer }

func (r *refusal) Error() string { return fmt.Sprintf("refused with %d", r.answer.status) }

func refuse(status int, text string) error { return &refusal{message(status, text)} }

// absent is the refusal of a path that names something that is not there.
func absent() error { return &refusal{notFound()} }

// The codes of error objects that the Admin API itself gives; the store gives others.
const (
	codeSchemaViolation = 2
	codeUnique          = 5
	codeNotFound        = 6
	codeInvalidOffset   = 7
	codeDatabase        = 8
	codeInvalidSize     = 9
	codeInvalidUnique   = 10
	codeInvalidOptions  = 11
	codeUnsupported     = 12
)

// statusOf is the status that an error object is answered with: 400 where nothing else stands.
func statusOf(code int) int {
	switch code {
	case codeUnique:
		return http.StatusConflict
	case codeNotFound:
		return http.StatusNotFound
	case codeDatabase:
		return http.StatusInternalServerError
	case codeUnsupported:
		return http.StatusMethodNotAllowed
	}
	return http.StatusBadRequest
}

// object is the answer of an error object.
func object(e *store.Error) answer {
	shown := map[string]any{"code": e.Code, "name": e.Name, "message": e.Message}
	if e.Fields != nil {
		name := "fields"
		if e.Code == codeInvalidOptions {
			name = "options"
		}
		shown[name] = e.Fields
	}
	return answer{status: statusOf(e.Code), body: shown}
}

// fail maps a handler's error to an answer. What no client can be blamed for is logged here, and only
// here.
func (p *plane) fail(r *http.Request, err error) answer {
	var refused *refusal
	var unread *body.Refusal
	var violations schema.Violations
	var stored *store.Error
	switch {
	case errors.As(err, &refused):
		return refused.answer
	case errors.As(err, &unread) && unread.Status == http.StatusUnsupportedMediaType:
		return page(unread.Status, unread.Message)
	case errors.As(err, &unread):
		return message(unread.Status, unread.Message)
	case errors.As(err, &violations):
		return object(&store.Error{Code: codeSchemaViolation, Name: "schema violation", Message: violations.Error(), Fields: violations})
	case errors.As(err, &stored) && stored.Code != codeDatabase:
		return object(stored)
	case errors.Is(err, store.ErrNotFound):
		return notFound()
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return unexpected() // the client is gone
	}
	p.log.Error("admin request", "method", r.Method, "path", r.URL.Path, "error", err)
	return unexpected()
}

// notFoundByKey is what a PATCH of nothing answers.
func notFoundByKey(by entity.Key) error {
	what := fmt.Sprintf("'{%s=%q}'", by.Field, by.Value)
	if by.Field == "id" {
		what = "primary key " + what
	}
	return &store.Error{
		Code: codeNotFound, Name: "not found",
		Message: "could not find the entity with " + what,
		Fields:  map[string]any{by.Field: by.Value},
	}
}

func invalidUnique(field string, why error) error {
	return &store.Error{Code: codeInvalidUnique, Name: "invalid unique " + field, Message: why.Error()}
}

func invalidSize(why string) error {
	return &store.Error{Code: codeInvalidSize, Name: "invalid size", Message: "size must be " + why}
}

func invalidOffset(offset, why string) error {
	return &store.Error{Code: codeInvalidOffset, Name: "invalid offset", Message: fmt.Sprintf("'%s' is not a valid offset: %s", offset, why)}
}

func invalidOption(name, why string) error {
	return &store.Error{
		Code: codeInvalidOptions, Name: "invalid options",
		Message: fmt.Sprintf("invalid option (%s: %s)", name, why),
		Fields:  map[string]any{name: why},
	}
}
