package embedding

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Secret is text that no log, error or encoder shows.
type Secret string

const redacted = "[redacted]"

// String, GoString, Format, LogValue, MarshalText and MarshalJSON hide s.
func (Secret) String() string { return redacted }

// GoString hides s from %#v.
func (Secret) GoString() string { return redacted }

// Format hides s from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides s from log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides s from encoders of text.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON hides s from encoding/json.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// The bounds of an Endpoint.
const (
	BatchMax     = 2048 // texts in one request: OpenAI takes no more
	BatchDefault = 64

	TimeoutMax     = 5 * time.Minute
	TimeoutDefault = 30 * time.Second

	urlBytesMax   = 2048
	modelBytesMax = 256
	keyBytesMax   = 4096
	dimensionMax  = 65535
)

// Endpoint is one model behind one address.
type Endpoint struct {
	URL       string // that requests are posted to, as it is: https://api.openai.com/v1/embeddings
	Model     string
	APIKey    Secret        // sent as Authorization: Bearer; "" sends none
	Dimension int           // every vector must have; 0: any, all of one call alike
	Batch     int           // texts in a request at most; 0: BatchDefault
	Timeout   time.Duration // of one attempt; 0: TimeoutDefault
	Owner     string        // the tenant whose endpoint it is; "": the node's own

	// AllowPrivate lets the address be a loopback or private one, and the
	// scheme be http. Link-local addresses, where clouds keep their metadata,
	// stay refused.
	AllowPrivate bool
	// Texts sends a reranking's documents under the name `texts`, as Text
	// Embeddings Inference wants them, and no model.
	Texts bool
}

// Validate returns what is wrong with e, its key never quoted. An address that
// only resolves to one that is not allowed is refused when it is dialled.
func (e *Endpoint) Validate() error {
	u, err := url.Parse(e.URL)
	switch {
	case len(e.URL) > urlBytesMax:
		return fmt.Errorf("url is longer than %d bytes", urlBytesMax)
	case err != nil || u.Host == "" || u.Opaque != "" || u.Hostname() == "":
		return errors.New("url must be a whole address, such as https://api.openai.com/v1/embeddings")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("url must begin with https://")
	case u.Scheme == "http" && !e.AllowPrivate:
		return errors.New("url must begin with https://; http is for endpoints in a private network, which must be allowed")
	case u.User != nil:
		return errors.New("url must not hold a user or password; the key has a place of its own")
	case u.Fragment != "":
		return errors.New("url must not have a fragment")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := checkAddress(a, e.AllowPrivate); err != nil {
			return fmt.Errorf("url: %w", err)
		}
	}
	return e.validateRest()
}

func (e *Endpoint) validateRest() error {
	switch {
	case len(e.Model) > modelBytesMax || !printable(e.Model):
		return fmt.Errorf("model must be up to %d printable bytes", modelBytesMax)
	case len(e.APIKey) > keyBytesMax || !printable(string(e.APIKey)) || strings.ContainsRune(string(e.APIKey), ' '):
		return fmt.Errorf("the key must be up to %d printable bytes without spaces", keyBytesMax)
	case e.Dimension < 0 || e.Dimension > dimensionMax:
		return fmt.Errorf("dimension must be 1 to %d, or 0 for any", dimensionMax)
	case e.Batch < 0 || e.Batch > BatchMax:
		return fmt.Errorf("batch must be 1 to %d, or 0 for %d", BatchMax, BatchDefault)
	case e.Timeout < 0 || e.Timeout > TimeoutMax:
		return fmt.Errorf("timeout must be up to %s, or 0 for %s", TimeoutMax, TimeoutDefault)
	}
	return nil
}

// printable: ASCII that may stand in a header.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// Host returns the host and port of the address, for logs and errors: queries
// of an address may be secret.
func (e *Endpoint) Host() string {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" {
		return "(no address)"
	}
	return u.Host
}

func (e *Endpoint) batch() int {
	if e.Batch == 0 {
		return BatchDefault
	}
	return e.Batch
}

func (e *Endpoint) timeout() time.Duration {
	if e.Timeout == 0 {
		return TimeoutDefault
	}
	return e.Timeout
}

// sum tells endpoints apart: what differs in it shares neither circuit nor
// cached vectors.
func (e *Endpoint) sum() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d %s\x00%d %s\x00%s\x00%d %t", len(e.URL), e.URL, len(e.Model), e.Model, string(e.APIKey), e.Dimension, e.AllowPrivate))
}
