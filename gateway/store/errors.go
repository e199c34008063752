package store

import "errors"

// ErrNotFound says that there is no such entity.
var ErrNotFound = errors.New("no such entity")

// An Error is what the Admin API answers to a change that the database refuses.
type Error struct {
	Code          int
	Name, Message string
	Fields        map[string]any
}

func (e *Error) Error() string { return e.Message }

// Is makes an Error of code 6 an ErrNotFound.
func (e *Error) Is(target error) bool { return target == ErrNotFound && e.Code == codeNotFound }

const codeNotFound = 6
