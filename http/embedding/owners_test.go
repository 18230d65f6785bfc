package embedding

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A tenant whose endpoints do not answer holds up nobody else, however many
// addresses it gives them.
func TestATenantHoldsUpNobodyElse(t *testing.T) {
	var out atomic.Int64
	full := make(chan struct{}, 1000)
	pit := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		out.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
		full <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(pit.Close)
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"data":[{"index":0,"embedding":[1,2]}]}`))
	}))
	t.Cleanup(good.Close)
	c := New(Options{})
	t.Cleanup(c.Close)
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	t.Cleanup(func() { cancel(); calls.Wait() })
	for n := range 100 {
		calls.Go(func() {
			e := Endpoint{URL: fmt.Sprintf("%s/?v=%d", pit.URL, n), Model: "m", Dimension: 2, AllowPrivate: true, Owner: "a"}
			_, _ = c.Embed(ctx, e, []string{"x"})
		})
	}
	for range slotsEach {
		<-full
	}
	for _, owner := range []string{"b", ""} {
		soon, end := context.WithTimeout(ctx, 5*time.Second)
		if _, err := c.Embed(soon, Endpoint{URL: good.URL, Model: "m", Dimension: 2, AllowPrivate: true, Owner: owner}, []string{"x"}); err != nil {
			t.Errorf("%q: %v", owner, err)
		}
		end()
	}
	if n := out.Load(); n > slotsEach {
		t.Errorf("%d requests of one tenant are out", n)
	}
}
