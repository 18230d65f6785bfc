package httpedge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// limitTime gives the request its deadline: what the client asks for
// (X-Timeout-Ms, or Qdrant's timeout in seconds), else the limit for its kind.
func (r *request) limitTime(op tenant.Operation) error {
	if r.forwarded != nil {
		return nil // the time that was left came with it
	}
	d := r.s.limits.WriteDeadline
	if op == tenant.OpRead && r.surface != surfaceMCP { // a tool may write
		d = r.s.limits.ReadDeadline
	}
	if given := r.header("X-Timeout-Ms"); given != "" {
		ms, err := strconv.ParseUint(given, 10, 31)
		if err != nil || ms == 0 {
			return errParameter("headers", "X-Timeout-Ms must be a number of milliseconds, 1 or larger")
		}
		d = time.Duration(ms) * time.Millisecond
	}
	if r.surface == surfaceQdrant {
		seconds, err := r.timeoutParameter()
		if err != nil {
			return err
		}
		if seconds > 0 {
			d = time.Duration(seconds) * time.Second
		}
	}
	r.ctx, r.cancel = context.WithTimeout(r.s.base, min(d, r.s.limits.RequestedTimeMax))
	return nil
}

// limitStream lets a request last as long as its body takes, unless the client
// said how long: its rate is bounded, and so is the time of each of its parts.
func (r *request) limitStream() {
	if r.forwarded == nil && r.header("X-Timeout-Ms") == "" {
		r.cancel()
		r.ctx, r.cancel = context.WithCancel(r.s.base)
	}
}

func (r *request) timeoutParameter() (seconds uint64, err error) {
	given, ok := r.query("timeout")
	if !ok {
		return 0, nil
	}
	seconds, err = strconv.ParseUint(given, 10, 31)
	if err != nil {
		return 0, errParameter("query parameters", "timeout: invalid digit found in string")
	}
	if seconds == 0 {
		e := errValue("timeout: value 0 invalid, must be 1 or larger")
		e.Details = map[string]any{"in": "query parameters"}
		return 0, e
	}
	return seconds, nil
}

// writeOptions reads how a write is to be answered and repeated.
func (r *request) writeOptions() (collection.WriteOptions, error) {
	var o collection.WriteOptions
	switch given, _ := r.query("wait"); given {
	case "true":
		o.Wait = true
	case "", "false":
	default:
		return o, errParameter("query parameters", "wait: provided string was not `true` or `false`")
	}
	switch given, _ := r.query("ordering"); given {
	case "", "weak", "medium", "strong": // every write is ordered by the partition's log
	default:
		return o, errParameter("query parameters", "ordering: unknown variant, expected one of `weak`, `medium`, `strong`")
	}
	var err error
	o.IdempotencyKey, o.RequestHash, err = r.idempotency()
	return o, err
}

// idempotency is the request's idempotency key, and what tells its repetition
// from another request under it.
func (r *request) idempotency() (key string, hash [32]byte, err error) {
	if key = r.header("Idempotency-Key"); key == "" {
		return "", hash, nil
	}
	if len(key) > r.s.limits.Request.KeyBytes {
		return "", hash, errParameter("headers", "Idempotency-Key is longer than "+strconv.Itoa(r.s.limits.Request.KeyBytes)+" bytes")
	}
	return key, r.hash(), nil
}

// changeOptions are of a change of a collection as a whole.
func (r *request) changeOptions() (o collection.ChangeOptions, err error) {
	if o.IdempotencyKey, o.RequestHash, err = r.idempotency(); err != nil {
		return o, err
	}
	given := strings.TrimSpace(r.header("If-Match"))
	if given == "" || given == "*" {
		return o, nil
	}
	tag, ok := parseETag(given)
	if !ok {
		return o, &collection.Error{Code: collection.FailedPrecondition, Message: "If-Match names no configuration of this collection: send the ETag of GET /collections/{name}"}
	}
	o.Match = &tag
	return o, nil
}

// etagOf is the ETag of a configuration.
func etagOf(tag collection.Tag) string { return `"` + hex.EncodeToString(tag[:]) + `"` }

func parseETag(given string) (tag collection.Tag, ok bool) {
	inner, opened := strings.CutPrefix(given, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	if !opened || !closed || len(inner) != hex.EncodedLen(len(tag)) {
		return tag, false
	}
	_, err := hex.Decode(tag[:], []byte(inner))
	return tag, err == nil
}

// hash tells a repetition of the request from another one under the same
// idempotency key: SHA-256 over method, path and body. It is the same request on
// every listener of every node: the prefix of Qdrant's API does not count.
func (r *request) hash() (sum [32]byte) {
	h := sha256.New()
	h.Write(r.http.Method())
	h.Write([]byte{'\n'})
	path := r.http.URI().PathOriginal()
	if r.surface == surfaceQdrant && underQdrantPrefix(path) {
		path = path[len(qdrantPrefix):]
	}
	h.Write(path)
	h.Write([]byte{'\n'})
	h.Write(r.body)
	h.Sum(sum[:0])
	return sum
}

// checkConsistency refuses a malformed consistency. Every read here is the
// strongest one, whatever was asked for.
func (r *request) checkConsistency() error {
	given, ok := r.query("consistency")
	if !ok {
		return nil
	}
	switch given {
	case "majority", "quorum", "all":
		return nil
	}
	n, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		return errParameter("query parameters", "consistency: failed to parse read consistency query parameter value")
	}
	if n == 0 {
		e := errValue("consistency: value 0 invalid, must be 1 or larger")
		e.Details = map[string]any{"in": "query parameters"}
		return e
	}
	return nil
}

func errParameter(where, text string) error {
	return &collection.Error{Code: collection.InvalidArgument, Reason: reasonParameter, Message: where + ": " + text}
}

// name returns the collection's name in the path.
func (r *request) name() (string, error) {
	name, err := r.param("name")
	if err != nil {
		return "", err
	}
	if err := collection.ValidateName(name, r.s.limits.Request); err != nil {
		e := *asError(err)
		e.Details = map[string]any{"in": "path parameters"}
		return "", &e
	}
	return name, nil
}
