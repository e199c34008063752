// Package body reads what a request says: a JSON object, a form or a multipart form becomes the
// fields of an entity, a query string its arguments.
//
// It takes what clients of Kong send and refuses all else with a reason that names the client's
// mistake; no input makes it panic, nest deeper than [MaxDepth], or keep more than the limit that
// its caller sets.
package body

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what is read.
const (
	MaxDepth     = 100  // levels of nesting, in any form; the deepest schema needs six
	MaxArguments = 1000 // of a form or a query string, fields of a JSON object
)

// A Body is what a request says of an entity.
type Body struct {
	Fields map[string]any // never nil
	Form   bool           // its values are strings that a schema has yet to convert
}

// A Refusal is the answer to a request that cannot be read. It is the only error of this package.
type Refusal struct {
	Status  int // 400, 408, 413 or 415
	Message string
}

func (r *Refusal) Error() string { return r.Message }

func refuse(text string) error { return &Refusal{http.StatusBadRequest, text} }

// Read reads at most limit bytes of the body and decodes them by the content type, whose name is
// case-sensitive. A request without body and type says nothing: no fields. Integers become int64,
// other numbers float64.
func Read(w http.ResponseWriter, r *http.Request, limit int64) (Body, error) {
	decode, err := decoderOf(r.Header.Get("Content-Type"))
	if err != nil {
		return Body{}, err
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // what follows is not read
		return Body{}, tooLong()
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if above := new(http.MaxBytesError); errors.As(err, &above) {
		return Body{}, tooLong()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close") // the rest may still come
		return Body{}, &Refusal{http.StatusRequestTimeout, "Request timeout"}
	}
	if err != nil {
		return Body{}, refuse("Cannot read body")
	}
	b, err := decode(data)
	if err != nil {
		return Body{}, err
	}
	return b, Legible(b.Fields)
}

// decoderOf chooses by the content type.
func decoderOf(contentType string) (func(data []byte) (Body, error), error) {
	switch {
	case strings.HasPrefix(contentType, "application/json"):
		return decodeJSON, nil
	case strings.HasPrefix(contentType, "application/x-www-form-urlencoded"):
		return decodeForm, nil
	case strings.HasPrefix(contentType, "multipart/form-data"):
		return func(data []byte) (Body, error) { return decodeMultipart(data, contentType) }, nil
	case contentType == "":
		return func(data []byte) (Body, error) {
			if len(data) > 0 {
				return Body{}, unsupportedType()
			}
			return Body{Fields: map[string]any{}}, nil
		}, nil
	}
	return nil, unsupportedType()
}

func unsupportedType() error {
	return &Refusal{http.StatusUnsupportedMediaType, "Unsupported Media Type"}
}

func tooLong() error { return &Refusal{http.StatusRequestEntityTooLarge, "Payload too large"} }

// decodeJSON takes an object, and nothing else. The last of equal names wins.
func decodeJSON(data []byte) (Body, error) {
	unparsable := refuse("Cannot parse JSON body")
	if !utf8.Valid(data) || !paired(data) || depth(data) > MaxDepth {
		return Body{}, unparsable
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil || fields == nil {
		return Body{}, unparsable
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Body{}, unparsable
	}
	if len(fields) > MaxArguments {
		return Body{}, tooManyArguments()
	}
	plain, err := plainNumbers(fields)
	if err != nil {
		return Body{}, unparsable
	}
	return Body{Fields: plain.(map[string]any)}, nil
}

// paired says that a JSON text, well-formed or not, escapes no half of a character: encoding/json would
// make another character of it.
func paired(data []byte) bool {
	for {
		next := bytes.IndexByte(data, '\\')
		if next < 0 {
			return true
		}
		data = data[next:]
		switch r := escaped(data); {
		case r < 0:
			data = data[min(2, len(data)):]
		case !utf16.IsSurrogate(r):
			data = data[6:]
		case utf16.DecodeRune(r, escaped(data[6:])) == utf8.RuneError:
			return false
		default:
			data = data[12:]
		}
	}
}

// escaped is the UTF-16 unit that a text's first six bytes write as \uXXXX; -1: they write none.
func escaped(data []byte) rune {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// depth counts the deepest nesting of a JSON text, well-formed or not.
func depth(data []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// plainNumbers turns every number into an int64 where it is written as one that fits, a float64 otherwise.
func plainNumbers(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i, nil
		}
		f, err := v.Float64()
		if err != nil || math.IsInf(f, 0) {
			return nil, fmt.Errorf("read number %s: out of range", v)
		}
		return f, nil
	case map[string]any:
		for name, e := range v {
			plain, err := plainNumbers(e)
			if err != nil {
				return nil, err
			}
			v[name] = plain
		}
	case []any:
		for i, e := range v {
			plain, err := plainNumbers(e)
			if err != nil {
				return nil, err
			}
			v[i] = plain
		}
	}
	return v, nil
}

// Legible refuses text that no database column holds: invalid UTF-8 and NUL.
func Legible(v any) error {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) || strings.Contains(v, "\x00") {
			return refuse("Cannot parse body: text must be valid UTF-8 without NUL")
		}
	case map[string]any:
		for name, e := range v {
			if err := cmp.Or(Legible(name), Legible(e)); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := Legible(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// decodeMultipart takes every named part as an argument, a file's content too.
func decodeMultipart(data []byte, contentType string) (Body, error) {
	unparsable := refuse("Cannot parse multipart body")
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return Body{}, unparsable
	}
	var args []argument
	for parts := multipart.NewReader(bytes.NewReader(data), params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Body{}, unparsable
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return Body{}, unparsable
		}
		if name := part.FormName(); name != "" {
			args = append(args, argument{name, string(text)})
		}
		if len(args) > MaxArguments {
			return Body{}, tooManyArguments()
		}
	}
	return formOf(args)
}
