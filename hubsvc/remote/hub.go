package remote

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Hub is a hub outside of the cluster, as a node sees it. New makes it, Start
// lets it follow the hub, Stop ends it; it may be asked in between, from
// anywhere. Its errors are *hubsvc.Error: UNAVAILABLE for whatever only the hub
// could answer and did not.
type Hub struct {
	options Options
	own     Own
	client  *client
	memory  *memory
	cursor  *cursor
	changes changes

	keys   flights[hubsvc.KeyHash, whose]
	ids    flights[tenant.KeyID, whose]
	quotas flights[tenant.ID, hubsvc.Quota]
	asking chan struct{} // questions under way

	ctx    context.Context // of all that runs
	cancel context.CancelFunc
	wg     sync.WaitGroup

	stopping struct {
		sync.Mutex
		now bool
	}
}

// askingMax is how many different questions may be under way; one more is
// answered UNAVAILABLE at once.
const askingMax = 256

var errBusy = &hubsvc.Error{Code: hubsvc.CodeUnavailable, Message: "too many questions wait for the hub; retry shortly", Err: errAway}

// New returns a hub that nobody follows yet. The error is that of a File that
// cannot be read.
func New(o Options) (*Hub, error) {
	o.ensureDefaults()
	h := &Hub{options: o, own: o.Own, asking: make(chan struct{}, askingMax)}
	h.client, h.memory = newClient(&h.options), newMemory(&h.options.Cache)
	h.changes.woken = make(chan struct{})
	h.changes.tenants = map[tenant.ID]bool{}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	var err error
	h.cursor, err = openCursor(o.File, o.URL)
	return h, err
}

// Start follows the hub until Stop. erase drops the data of a tenant that the
// hub has deleted; it is called until it returns no error, also after a restart.
func (h *Hub) Start(erase func(context.Context, tenant.ID) error) {
	h.wg.Go(h.follow)
	h.wg.Go(func() { h.eraseDeleted(erase) })
}

// Stop ends what runs and waits for it, and closes the connections.
func (h *Hub) Stop() {
	h.stopping.Lock()
	h.stopping.now = true
	h.stopping.Unlock()
	h.cancel()
	h.wg.Wait()
	h.client.http.CloseIdleConnections()
}

// State says how the hub is reached.
func (h *Hub) State() State {
	s := h.client.link.state()
	s.Keys, s.Tenants = h.memory.sizes()
	s.Event = h.cursor.version()
	return s
}

// Serves reports whether anybody's data can be served: the hub has answered
// since the start, and not longer ago than what it said is good.
func (h *Hub) Serves() bool {
	s := h.client.link.state()
	return !s.Reached.IsZero() && (s.Connected || time.Since(s.Reached) <= h.options.Cache.KeyTTL+h.options.Cache.Grace)
}

// Address is where the hub is.
func (h *Hub) Address() string { return h.options.URL }

// run runs a question beside the caller, unless there are too many.
func (h *Hub) run(fn func()) bool {
	h.stopping.Lock()
	defer h.stopping.Unlock()
	if h.stopping.now {
		return false
	}
	select {
	case h.asking <- struct{}{}:
	default:
		return false
	}
	h.wg.Go(func() {
		defer func() { <-h.asking }()
		fn()
	})
	return true
}

// staleWait is how long a request waits for the hub when what is known of it is
// good while the hub is away.
const staleWait = time.Second

// isAway reports whether an error says nothing but that the hub gave no answer.
func isAway(err error) bool { return errors.Is(err, errAway) }

// erasAtMost is how often a question is asked again because something changed
// meanwhile. The last answer counts for whoever asked and is not remembered.
const erasAtMost = 3

// Authenticate returns the context of a key, as Directory.Validate does. It
// allocates nothing for a key that is known. What is known and no longer fresh
// is good for the grace time while the hub does not answer, and the context
// says so. Under hubsvc.KnownOnly a key that is not known is wrong.
func (h *Hub) Authenticate(ctx context.Context, key string) (tenant.Context, error) {
	if key == "" {
		return tenant.Context{}, errMissing
	}
	if _, err := tenant.ParseKey(key); err != nil {
		return tenant.Context{}, errKeyForm
	}
	hash, now := h.options.Hasher.Hash(key), time.Now()
	g, r := h.memory.key(hash, now)
	if g != nil && h.fresh(g, now) {
		return h.context(&g.whose, now)
	}
	if g == nil {
		if tc, err := h.own.Authenticate(ctx, key); err == nil && tc.IsOperator {
			return tc, nil
		}
		switch {
		case r != nil:
			return tenant.Context{}, r.why
		case hubsvc.IsKnownOnly(ctx):
			return tenant.Context{}, errKey
		}
	}
	given := string(append([]byte(nil), key...)) // the caller's is gone when he does not wait any more
	w, err := h.freshOr(ctx, g, func(ctx context.Context) (whose, error) {
		return h.keys.do(ctx, hash, h.run, func() (whose, error) { return h.askKey(hash, given) })
	})
	if err != nil {
		return tenant.Context{}, err
	}
	return h.context(&w, now)
}

// freshOr asks, and falls back on what is known while the hub is away.
func (h *Hub) freshOr(ctx context.Context, g *grant, ask func(context.Context) (whose, error)) (whose, error) {
	if g != nil && h.good(g) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, staleWait)
		defer cancel()
	}
	w, err := ask(ctx)
	if err != nil && isAway(err) && g != nil && h.good(g) && h.memory.id(g.tc.KeyID, time.Now()) == g {
		w = g.whose
		w.tc.Stale = true
		return w, nil
	}
	return w, err
}

// fresh reports whether a grant needs no question.
func (h *Hub) fresh(g *grant, now time.Time) bool {
	return now.Sub(g.tc.ValidatedAt) <= h.options.Cache.KeyTTL && !g.outdated.Load()
}

// good reports whether a grant is within the grace time.
func (h *Hub) good(g *grant) bool {
	return time.Since(g.tc.ValidatedAt) <= h.options.Cache.KeyTTL+h.options.Cache.Grace
}

// context returns what w grants at now.
func (h *Hub) context(w *whose, now time.Time) (tenant.Context, error) {
	if w.refusal != nil {
		return tenant.Context{}, w.refusal
	}
	if !w.tc.ExpiresAt.IsZero() && !now.Before(w.tc.ExpiresAt) {
		return tenant.Context{}, errExpired
	}
	return w.tc, nil
}

// keyQuestion asks whose a key is.
type keyQuestion struct {
	Key string       `json:"access_key,omitempty"`
	ID  tenant.KeyID `json:"key_id,omitempty"`
}

func (h *Hub) askKey(hash hubsvc.KeyHash, key string) (w whose, err error) {
	now := time.Now()
	if g, _ := h.memory.key(hash, now); g != nil && h.fresh(g, now) {
		return g.whose, nil // the answer came between a look and this
	}
	for range erasAtMost {
		era := h.memory.eraNow()
		if w, err = h.askWhose(keyQuestion{Key: key}); err != nil || h.memory.learnKey(hash, &w, era) {
			break
		}
	}
	return w, err
}

func (h *Hub) askID(id tenant.KeyID) (w whose, err error) {
	now := time.Now()
	if g := h.memory.id(id, now); g != nil && h.fresh(g, now) {
		return g.whose, nil
	}
	for range erasAtMost {
		era := h.memory.eraNow()
		if w, err = h.askWhose(keyQuestion{ID: id}); err == nil && w.refusal == nil && w.tc.KeyID != id {
			return whose{}, away(errForm)
		}
		if err != nil || h.memory.learnID(id, &w, era) {
			break
		}
	}
	return w, err
}

func (h *Hub) askWhose(q keyQuestion) (w whose, err error) {
	at := time.Now() // before the answer: it is never younger than it says
	err = h.client.ask(h.ctx, question{
		method: "POST", path: "/api/v1/access-keys/validate", body: q,
		decode: func(b []byte) (err error) { w, err = decodeWhose(b, at); return err },
	})
	return w, err
}

// Identify returns the context of the key that has an id.
func (h *Hub) Identify(ctx context.Context, id tenant.KeyID) (tenant.Context, error) {
	now := time.Now()
	g := h.memory.id(id, now)
	if g != nil && h.fresh(g, now) {
		return h.context(&g.whose, now)
	}
	w, err := h.freshOr(ctx, g, func(ctx context.Context) (whose, error) {
		return h.ids.do(ctx, id, h.run, func() (whose, error) { return h.askID(id) })
	})
	if err != nil {
		return tenant.Context{}, err
	}
	return h.context(&w, now)
}

// Readmit makes a context anew that another node of the cluster has made: by
// what is known here of the key's id, or what the hub says of it, once for each
// key. While the hub is away and nothing is known here, what the other node was
// told counts as long as it may there, unless an event has ended it.
func (h *Hub) Readmit(ctx context.Context, tc tenant.Context) (tenant.Context, error) {
	if tc.IsOperator { // of this cluster: the hub elsewhere knows nothing of it
		next, err := h.own.Readmit(ctx, tenant.Context{KeyID: tc.KeyID, RequestID: tc.RequestID, Nonce: tc.Nonce, Claim: tc.Claim})
		if err == nil && !next.IsOperator {
			err = errKey
		}
		if err != nil {
			return tenant.Context{}, err
		}
		return next, nil
	}
	next, err := h.Identify(ctx, tc.KeyID)
	if err != nil && !isAway(err) {
		return tenant.Context{}, err
	}
	if err != nil {
		return h.adopt(tc, err)
	}
	if next.Service != "" && tc.TenantID != "" {
		if next, err = h.ActFor(ctx, tc.TenantID, next, tc.Nonce); err != nil {
			return tenant.Context{}, err
		}
	}
	if next.TenantID != tc.TenantID {
		return tenant.Context{}, errKey
	}
	next.RequestID, next.Nonce, next.Claim = tc.RequestID, tc.Nonce, tc.Claim
	return next, nil
}

// adopt takes another node's word, within the limits of this one's own.
func (h *Hub) adopt(tc tenant.Context, cause error) (tenant.Context, error) {
	now := time.Now()
	if tc.IsOperator || tc.KeyID == "" || !h.memory.mayStand(&tc, now) {
		return tenant.Context{}, cause
	}
	if !tc.ExpiresAt.IsZero() && !now.Before(tc.ExpiresAt) {
		return tenant.Context{}, errExpired
	}
	if q := h.memory.quota(tc.TenantID, now); q != nil {
		tc.Rates = someRates(q.Rates) // they do not travel
	}
	tc.Stale = tc.Stale || now.Sub(tc.ValidatedAt) > h.options.Cache.KeyTTL
	return tc, nil
}
