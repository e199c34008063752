package exampleplugin

import (
	"net/http"
	"testing"
)

func TestItMarksEveryAnswer(t *testing.T) {
	h, err := New().New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := h.Access(nil); a != nil || err != nil {
		t.Errorf("it answered: %v %v", a, err)
	}
	a := &http.Response{Header: http.Header{Header: {"forged"}}}
	if err := h.Response(nil, a); err != nil || a.Header.Get(Header) != "active" {
		t.Errorf("%v %v", a.Header, err)
	}
}
