package membership

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

const fakeToken = "7d2c"

// fake is as much of Consul as this package speaks to, with faults. What it
// does right is held to the real one by the tests under the tag consul.
type fake struct {
	mu         sync.Mutex
	services   map[string]*fakeService
	keys       map[string]string
	index      uint64
	bell       chan struct{} // closed and replaced at each change
	stalled    chan struct{} // not nil: nothing is answered until it is closed
	status     int           // not 0: the answer to everything
	hidden     string        // node id that lists leave out
	calls      int
	registered int      // calls of register
	noToken    []string // calls without the token
}

type fakeService struct {
	api.AgentServiceRegistration
	passing bool
	expiry  *time.Timer
}

func newFake() *fake {
	f := &fake{bell: make(chan struct{})}
	f.wipe()
	return f
}

// change changes the state and wakes blocking queries.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	f.bump()
}

func (f *fake) bump() {
	f.index++
	close(f.bell)
	f.bell = make(chan struct{})
}

// wipe is a Consul that lost its disk: everything gone, the index small.
func (f *fake) wipe() {
	f.change(func() {
		f.services, f.keys, f.index = map[string]*fakeService{}, map[string]string{}, 0
	})
}

func (f *fake) stall() (release func()) {
	c := make(chan struct{})
	f.change(func() { f.stalled = c })
	return func() {
		f.change(func() { f.stalled = nil })
		close(c)
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.calls++
	stalled, status := f.stalled, f.status
	if r.Header.Get("X-Consul-Token") != fakeToken {
		f.noToken = append(f.noToken, r.URL.Path)
	}
	f.mu.Unlock()
	if stalled != nil {
		select {
		case <-stalled:
		case <-r.Context().Done():
			return
		}
	}
	if status != 0 {
		http.Error(w, "injected", status)
		return
	}
	path := r.URL.Path
	rest := func(prefix string) string { return strings.TrimPrefix(path, prefix) }
	switch {
	case path == "/v1/agent/service/register":
		f.register(r)
	case strings.HasPrefix(path, "/v1/agent/service/deregister/"):
		f.change(func() { delete(f.services, rest("/v1/agent/service/deregister/")) })
	case strings.HasPrefix(path, "/v1/agent/check/update/"):
		f.update(w, rest("/v1/agent/check/update/"))
	case strings.HasPrefix(path, "/v1/health/service/"):
		f.list(w, r, rest("/v1/health/service/"))
	case strings.HasPrefix(path, "/v1/kv/"):
		f.kv(w, r, rest("/v1/kv/"))
	default:
		http.Error(w, "no such call", http.StatusTeapot)
	}
}

func (f *fake) register(r *http.Request) {
	s := &fakeService{passing: true}
	if err := json.NewDecoder(r.Body).Decode(&s.AgentServiceRegistration); err != nil {
		panic(err)
	}
	ttl, err := time.ParseDuration(s.Check.TTL)
	if err != nil || s.Check.Status != api.HealthPassing {
		panic("check without ttl, or not passing")
	}
	s.expiry = time.AfterFunc(ttl, func() { f.change(func() { s.passing = false }) })
	f.change(func() {
		f.registered++
		if old := f.services[s.ID]; old != nil {
			old.expiry.Stop()
		}
		f.services[s.ID] = s
	})
}

func (f *fake) update(w http.ResponseWriter, check string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.services {
		if s.Check.CheckID != check {
			continue
		}
		ttl, _ := time.ParseDuration(s.Check.TTL)
		s.expiry.Reset(ttl)
		if !s.passing {
			s.passing = true
			f.bump()
		}
		return
	}
	http.Error(w, "Unknown check ID", http.StatusNotFound)
}

func (f *fake) list(w http.ResponseWriter, r *http.Request, name string) {
	index, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	if wait <= 0 {
		wait = 5 * time.Minute // as Consul does
	}
	end := time.After(wait)
	f.mu.Lock()
	defer f.mu.Unlock()
	for over := index == 0; !over && f.index <= index; {
		bell := f.bell
		f.mu.Unlock()
		select {
		case <-bell:
		case <-end:
			over = true
		case <-r.Context().Done():
			over = true
		}
		f.mu.Lock()
	}
	all := []*api.ServiceEntry{}
	for _, s := range f.services {
		if s.Name != name || f.hidden != "" && s.Meta[metaNode] == f.hidden {
			continue
		}
		status := api.HealthCritical
		if s.passing {
			status = api.HealthPassing
		}
		all = append(all, &api.ServiceEntry{
			Service: &api.AgentService{ID: s.ID, Address: s.Address, Port: s.Port, Meta: s.Meta},
			Checks:  api.HealthChecks{{Status: status}},
		})
	}
	slices.SortFunc(all, func(a, b *api.ServiceEntry) int { return cmp.Compare(a.Service.ID, b.Service.ID) })
	w.Header().Set("X-Consul-Index", strconv.FormatUint(f.index, 10))
	json.NewEncoder(w).Encode(all)
}

func (f *fake) kv(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	value, ok := f.keys[key]
	if r.Method == http.MethodGet {
		if !ok {
			http.NotFound(w, r)
			return
		}
		json.NewEncoder(w).Encode([]*api.KVPair{{Key: key, Value: []byte(value)}})
		return
	}
	if r.URL.Query().Get("cas") != "0" {
		panic("a key is created, never overwritten")
	}
	if !ok {
		b, _ := io.ReadAll(r.Body)
		f.keys[key] = string(b)
	}
	io.WriteString(w, strconv.FormatBool(!ok))
}

// link is one node's way to the fake.
type link struct {
	fake *fake

	mu      sync.Mutex
	refused string // prefix of the paths that have no connection
	hanging string // prefix of the paths that are never answered
}

const (
	everything = "/"
	lists      = "/v1/health/"
)

func (l *link) refuse(prefix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = prefix
}

func (l *link) hang(prefix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hanging = prefix
}

var errDown = errors.New("connection refused")

func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	down := l.refused != "" && strings.HasPrefix(r.URL.Path, l.refused)
	hang := l.hanging != "" && strings.HasPrefix(r.URL.Path, l.hanging)
	l.mu.Unlock()
	if down {
		return nil, errDown
	}
	if hang {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	rec, served := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(served)
		l.fake.ServeHTTP(rec, r)
	}()
	<-served // the handler minds the context
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}
