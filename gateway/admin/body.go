package admin

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
	"strconv"
	"strings"
	"unicode/utf8"
)

// defaultMaxBody is the longest request body, in bytes, unless Options say otherwise.
const defaultMaxBody = 10 << 20

// maxDepth is how deep a body may nest, in any form. The deepest schema needs six levels.
const maxDepth = 100

// A body is what a request says of an entity.
type body struct {
	fields map[string]any
	form   bool // its values are strings that the schema has yet to convert
}

// readBody reads and decodes the body by its content type, whose name is case-sensitive. A request without
// body and type says nothing: an empty body. Its errors are refusals.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (body, error) {
	decode, err := decoderOf(r.Header.Get("Content-Type"))
	if err != nil {
		return body{}, err
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // what follows is not read
		return body{}, refuse(http.StatusRequestEntityTooLarge, "Payload too large")
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return body{}, refuse(http.StatusRequestEntityTooLarge, "Payload too large")
	}
	if err != nil {
		return body{}, refuse(http.StatusBadRequest, "Cannot read body")
	}
	b, err := decode(data)
	if err != nil {
		return body{}, err
	}
	return b, legible(b.fields)
}

// decoderOf chooses by the content type.
func decoderOf(contentType string) (func(data []byte) (body, error), error) {
	switch {
	case strings.HasPrefix(contentType, "application/json"):
		return decodeJSON, nil
	case strings.HasPrefix(contentType, "application/x-www-form-urlencoded"):
		return decodeForm, nil
	case strings.HasPrefix(contentType, "multipart/form-data"):
		return func(data []byte) (body, error) { return decodeMultipart(data, contentType) }, nil
	case contentType == "":
		return func(data []byte) (body, error) {
			if len(data) > 0 {
				return body{}, unsupportedType()
			}
			return body{fields: map[string]any{}}, nil
		}, nil
	}
	return nil, unsupportedType()
}

func unsupportedType() error {
	return &refusal{page(http.StatusUnsupportedMediaType, "Unsupported Media Type")}
}

// decodeJSON takes an object, and nothing else. The last of equal names wins.
func decodeJSON(data []byte) (body, error) {
	unparsable := refuse(http.StatusBadRequest, "Cannot parse JSON body")
	if !utf8.Valid(data) || depth(data) > maxDepth {
		return body{}, unparsable
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil || fields == nil {
		return body{}, unparsable
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return body{}, unparsable
	}
	plain, err := plainNumbers(fields)
	if err != nil {
		return body{}, unparsable
	}
	return body{fields: plain.(map[string]any)}, nil
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

// legible refuses text that no database column holds: invalid UTF-8 and NUL.
func legible(v any) error {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) || strings.Contains(v, "\x00") {
			return refuse(http.StatusBadRequest, "Cannot parse body: text must be valid UTF-8 without NUL")
		}
	case map[string]any:
		for name, e := range v {
			if err := cmp.Or(legible(name), legible(e)); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := legible(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// decodeMultipart takes every named part as an argument, a file's content too.
func decodeMultipart(data []byte, contentType string) (body, error) {
	unparsable := refuse(http.StatusBadRequest, "Cannot parse multipart body")
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return body{}, unparsable
	}
	var args []argument
	for parts := multipart.NewReader(bytes.NewReader(data), params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return body{}, unparsable
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return body{}, unparsable
		}
		if name := part.FormName(); name != "" {
			args = append(args, argument{name, string(text)})
		}
		if len(args) > maxArguments {
			return body{}, tooManyArguments()
		}
	}
	return formOf(args)
}
