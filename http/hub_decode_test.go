package httpedge

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
)

// hubDecoders are the readers of the bodies of the hub's API.
var hubDecoders = map[string]func(p *pointReader) (any, error){
	"tenant":     func(p *pointReader) (any, error) { return p.tenantRequest() },
	"change":     func(p *pointReader) (any, error) { return p.tenantChange() },
	"plan":       func(p *pointReader) (any, error) { return p.planRequest() },
	"key":        func(p *pointReader) (any, error) { return p.keyRequest() },
	"grace":      func(p *pointReader) (any, error) { return p.graceRequest() },
	"given key":  func(p *pointReader) (any, error) { return p.keyQuestion() },
	"collection": func(p *pointReader) (any, error) { return p.collectionRequest() },
	"usage":      func(p *pointReader) (any, error) { return p.usageRequest() },
	"mcp server": func(p *pointReader) (any, error) { return p.mcpServerRequest() },
}

func decodeHub(name, text string) (any, error) {
	p := newPointReader([]byte(text), collection.DefaultLimits())
	v, err := hubDecoders[name](p)
	if err == nil {
		err = p.end()
	}
	return v, err
}

func TestHubBodies(t *testing.T) {
	at := time.Date(2030, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, c := range []struct {
		name, text string
		want       any
	}{
		{"tenant", `{"name":"Ä","plan":"p","partition":7,"other":[{}]}`, tenantRequest{"Ä", "p", new(uint64(7))}},
		{"tenant", `{"name":null,"plan":null,"partition":null}`, tenantRequest{}},
		{"change", `{"plan":"p","status":"suspended"}`, tenantChange{"p", "suspended"}},
		{
			"plan", `{"name":"n","storage_bytes":-1,"vector_count":0,"requests_per_hour":9223372036854775807,"version":3}`,
			planRequest{name: "n", bytes: new(int64(-1)), points: new(int64(0)), rates: ratesRequest{hour: new(int64(1<<63 - 1))}},
		},
		{
			"key", `{"tenant_id":"t","permission":"ADMIN","kind":"mcp","name":"n","collections":["a*"],"allowed_ips":[],"rate_limits":{"requests_per_day":5,"x":1},"expires_at":"2030-12-31T23:59:59Z","is_test":true}`,
			keyRequest{
				tenant: "t", permissions: []string{"ADMIN"}, kind: "mcp", name: "n", collections: []string{"a*"}, addresses: []string{},
				rates: &ratesRequest{day: new(int64(5))}, expires: at, test: true,
			},
		},
		{"key", `{"permissions":["READ_ONLY"],"collections":null,"rate_limits":null,"expires_at":null}`, keyRequest{permissions: []string{"READ_ONLY"}}},
		{"grace", `{}`, (*time.Duration)(nil)},
		{"grace", `{"grace_seconds":0}`, new(time.Duration(0))},
		{"grace", `{"grace_seconds":3600}`, new(time.Hour)},
		{"given key", `{"access_key":"a"}`, keyQuestion{key: "a"}},
		{"given key", `{"api_key":"b"}`, keyQuestion{key: "b"}},
		{"given key", `{"key":"c","key_id":"k_d"}`, keyQuestion{"c", "k_d"}},
		{"collection", `{"user_id":"t","collection_id":"18446744073709551615","name":"n"}`, collectionRequest{tenant: "t", id: new(uint64(1<<64 - 1)), name: "n"}},
	} {
		got, err := decodeHub(c.name, c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %+v, %v; want %+v", c.name, c.text, got, err, c.want)
		}
	}
	got, err := decodeHub("key", `{"expires_at":1924991999000}`)
	if err != nil || !got.(keyRequest).expires.Equal(at) {
		t.Errorf("milliseconds: %+v, %v", got, err)
	}
}

// A wrong type is refused, whatever else the body has; a list has an end.
func TestWrongHubBodies(t *testing.T) {
	long := `{"collections":["` + strings.Repeat(`a","`, hubListMax) + `a"]}`
	for _, c := range []struct{ name, text string }{
		{"tenant", `{"name":7}`},
		{"tenant", `{"name":"x","partition":-1}`},
		{"tenant", `{"name":"x","partition":1.5}`},
		{"tenant", `[]`},
		{"tenant", ``},
		{"tenant", `{"name":"x"} {}`},
		{"change", `{}`},
		{"change", `{"status":"deleted"}`},
		{"change", `{"status":true}`},
		{"plan", `{"vector_count":"1"}`},
		{"plan", `{"vector_count":1.5}`},
		{"plan", `{"vector_count":9223372036854775808}`},
		{"plan", `{"requests_per_day":{}}`},
		{"key", `{"permissions":"ADMIN"}`},
		{"key", `{"permission":["ADMIN"]}`},
		{"key", `{"collections":"a"}`},
		{"key", `{"collections":[1]}`},
		{"key", `{"rate_limits":5}`},
		{"key", `{"expires_at":"tomorrow"}`},
		{"key", `{"expires_at":-1}`},
		{"key", `{"expires_at":1e12}`},
		{"key", `{"expires_at":999999999999999999}`},
		{"key", `{"is_test":"yes"}`},
		{"key", long},
		{"grace", `{"grace_seconds":-5}`},
		{"grace", `{"grace_seconds":"1h"}`},
		{"given key", `{"key":["hh_live"]}`},
		{"collection", `{"user_id":"t"}`},
		{"collection", `{"collection_id":"x"}`},
		{"collection", `{"collection_id":-1}`},
	} {
		if got, err := decodeHub(c.name, c.text); collection.CodeOf(err) != collection.InvalidArgument {
			t.Errorf("%s %s: %+v, %v", c.name, c.text, got, err)
		}
	}
}

// FuzzHubDecoders: no body crashes a decoder, an accepted one is JSON, a refused
// one is the caller's fault, and what is kept shares no memory with the body.
func FuzzHubDecoders(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","plan":"b","partition":1,"status":"active"}`,
		`{"tenant_id":"t","permissions":["ADMIN"],"collections":["a"],"allowed_ips":["::1"],"rate_limits":{"requests_per_day":-1},"expires_at":"2030-01-01T00:00:00Z","is_test":false}`,
		`{"storage_bytes":-1,"vector_count":1,"grace_seconds":5,"collection_id":"7","created_at":1,"key":"hh_live_x"}`, `null`, `{`, ``,
		`{"cluster_id":"c","reports":[{"report_id":"r","source":"p:1","sequence":1,"period_start":1,"period_end":2,"entries":[{"tenant_id":"t","collection_id":"7","byte_seconds":1}]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, decode := range hubDecoders {
			body := append([]byte(nil), text...)
			p := newPointReader(body, collection.DefaultLimits())
			v, err := decode(p)
			if err == nil {
				err = p.end()
			}
			if err != nil {
				if collection.CodeOf(err) != collection.InvalidArgument {
					t.Fatalf("%s of %q: %v", name, text, err)
				}
				continue
			}
			if !json.Valid(text) {
				t.Fatalf("%s accepted %q", name, text)
			}
			clear(body)
			again, err := decodeHub(name, string(text))
			if err != nil || !reflect.DeepEqual(v, again) {
				t.Fatalf("%s of %q changed with the body: %+v, %+v, %v", name, text, v, again, err)
			}
		}
	})
}
