package httpedge

import (
	"slices"

	"github.com/valyala/fasthttp"
)

// headerLine is a header that goes with a forwarded request, or comes back with
// its answer.
type headerLine struct {
	Name  string `msgpack:"n"`
	Value string `msgpack:"v"`
}

// carriedHeaders are those of a request that mean something to a handler.
// answeredHeaders are those that a handler gives its answer.
var (
	carriedHeaders  = []string{"Idempotency-Key", "Content-Type", "Accept", "If-Match", "If-None-Match", mcpVersionHeader}
	answeredHeaders = []string{"Etag", "Content-Disposition", "Idempotent-Replayed", "Location"}
)

// carried are the headers of a request that go with it.
func (r *request) carried() []headerLine {
	var lines []headerLine
	for _, name := range carriedHeaders {
		if v := r.header(name); v != "" {
			lines = append(lines, headerLine{name, v})
		}
	}
	return lines
}

// takeCarried gives a request the headers that came with it.
func takeCarried(h *fasthttp.RequestHeader, lines []headerLine) {
	for _, line := range lines {
		if slices.Contains(carriedHeaders, line.Name) {
			h.Set(line.Name, line.Value)
		}
	}
}

// answered are the headers that the handler has given its answer.
func answered(h *fasthttp.ResponseHeader) []headerLine {
	var lines []headerLine
	for _, name := range answeredHeaders {
		if v := h.Peek(name); len(v) > 0 {
			lines = append(lines, headerLine{name, string(v)})
		}
	}
	return lines
}

// takeAnswered gives an answer the headers that came with it.
func takeAnswered(h *fasthttp.ResponseHeader, lines []headerLine) {
	for _, line := range lines {
		if slices.Contains(answeredHeaders, line.Name) {
			h.Set(line.Name, line.Value)
		}
	}
}
