package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The name and version that the answers carry: clients decide by them what to ask for.
const (
	version    = "3.8.1"
	serverName = "kong/" + version
)

// An answer is what a handler says. It is written whole, so that a panic half-way never leaves a
// torn one.
type answer struct {
	status int
	body   any    // encoded as JSON; nil: no body and no Content-Type
	page   string // in place of body: an HTML page with this title
	header map[string]string
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

func message(status int, text string) answer {
	return answer{status: status, body: map[string]any{"message": text}}
}

// page is the answer that Kong leaves to its web server.
func page(status int, title string) answer { return answer{status: status, page: title} }

var noContent = answer{status: http.StatusNoContent}

// The answers that need no reason.
func notFound() answer         { return message(http.StatusNotFound, "Not found") }
func methodNotAllowed() answer { return message(http.StatusMethodNotAllowed, "Method not allowed") }
func unexpected() answer {
	return message(http.StatusInternalServerError, "An unexpected error occurred")
}

// encode gives the body and its type.
func (a answer) encode() ([]byte, string, error) {
	if a.page != "" {
		title := strconv.Itoa(a.status) + " " + a.page
		text := fmt.Sprintf("<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n</body>\r\n</html>\r\n", title, title)
		return []byte(text), "text/html; charset=UTF-8", nil
	}
	if a.body == nil {
		return nil, "", nil
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(a.body); err != nil {
		return nil, "", err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), "application/json; charset=utf-8", nil
}

// write sends a with the headers that every answer carries. The latency is in whole milliseconds. An
// error is that of encoding; nothing was sent then.
func (a answer) write(w http.ResponseWriter, r *http.Request, began time.Time) error {
	body, kind, err := a.encode()
	if err != nil {
		return fmt.Errorf("encode answer of %s %s: %w", r.Method, r.URL.Path, err)
	}
	h := w.Header()
	for name, value := range a.header {
		h.Set(name, value)
	}
	h.Set("Server", serverName)
	h.Set("X-Kong-Admin-Latency", strconv.FormatInt(time.Since(began).Milliseconds(), 10))
	if kind != "" {
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone: there is nobody to tell
	}
	return nil
}
