package httpedge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence/oplog"
	"github.com/hivehub/waggle/tenant"
)

// world is the real thing in one process: replicas with their log on disk, the
// embedded hub, collections, and three edges: one, another one beside it, and
// one that is in charge of nothing and asks the first.
type world struct {
	*edge   // the first
	other   *edge
	through *edge
	kit     *actorstest.Kit
	hub     *hubsvc.Embedded
	data    *grains.Client
	logs    *grains.Logs
	logDir  string
	ahead   atomic.Int64 // of the directory's clock, in ns

	mine, theirs, asleep tenant.ID  // asleep is suspended
	spare                hubsvc.Key // a key of mine that no request is sent with
	number               uint64     // of mine's collection
	asked                int        // requests of the native API
	service              string     // the key of one
}

// What is mine's alone. No stranger knows any of it but the names he may guess.
const (
	canaryPayload = "canary-payload-q7x"
	canaryTenant  = "canary-tenant-q7x"
	canaryKey     = "canary-key-q7x"
	canaryName    = "docs" // of a collection: it stands in paths
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	now := func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	keys := hubsvc.NewDirectory(hubsvc.NewKeyHasher([]byte("a secret of the tests")), now)
	limits := actors.NewHubLimits(keys)
	hubMachine := actors.HubMachine(hubsvc.NewMachine(func(c hubsvc.Change) { keys.Observe(c); limits.Observe(c) }))
	w.kit = actorstest.Start(t, actorstest.Options{Actors: actors.Options{Partitions: 16}, Machine: func(group uint64) collection.StateMachine {
		if group == actors.SystemGroup {
			return hubMachine
		}
		return collection.Machine{}
	}})
	w.hub = hubsvc.NewEmbedded(keys, actors.HubGroup(w.kit.Node.SystemReplica()), hubsvc.EmbeddedOptions{SealKey: make([]byte, hubsvc.SealKeyBytes), EndpointSealKey: make([]byte, hubsvc.SealKeyBytes)})
	_, first, err := w.hub.Birth(t.Context(), hubsvc.BirthOptions{Partitions: 16})
	noError(t, err)
	limits.Follow(w.kit.Node.SystemReplica())
	quotas := actors.NewQuotas(w.kit.Node.System(), limits, actors.QuotaOptions{})
	t.Cleanup(quotas.Stop)
	w.data = grains.New(grains.Options{
		Node: w.kit.Node, Quotas: quotas, Hub: w.hub, Limits: collection.DefaultLimits(), Logger: slog.New(slog.DiscardHandler),
		Placement: func(id tenant.ID) (uint64, bool) { n, ok := keys.Partition(id); return uint64(n), ok },
	})
	t.Cleanup(w.data.Stop)

	w.logDir = t.TempDir()
	log, err := oplog.Open(oplog.Options{Dir: w.logDir})
	noError(t, err)
	t.Cleanup(func() { noError(t, log.Stop(context.Background())) })
	w.logs = grains.NewLogs(w.kit.Node, log, func() []grains.LogNode { return []grains.LogNode{{Number: w.kit.Node.Number(), Name: "here"}} })

	w.edge = w.door(t, nil)
	w.other = w.door(t, nil)
	w.through = w.door(t, &neighbours{leader: elsewhere, answers: []func(context.Context, []byte) ([]byte, error){w.edge.ServeForwarded}})
	w.keys[operator] = first.Operator
	w.mine, w.theirs, w.asleep = w.tenantOf(canaryTenant), w.tenantOf("theirs"), w.tenantOf("asleep")
	w.furnish(t, w.mine)
	w.furnish(t, w.asleep)
	_, w.service, err = w.hub.CreateKey(t.Context(), hubsvc.KeySpec{Kind: tenant.KeyService, Name: "gateway"})
	noError(t, err)
	return w
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// door opens an edge of the world.
func (w *world) door(t *testing.T, c Cluster) *edge {
	t.Helper()
	e := newEdge(t, func(o *Options) {
		o.Engine, o.Hub, o.Nodes, o.Access.SigningSecret = w.data, w.hub, silentNodes{}, edgeSecret
		o.Embedding.Tenants = w.hub
		o.OperationLog = w.logs
		if o.Cluster = c; c == nil {
			o.Cluster = &neighbours{leader: func(int) (uint32, bool) { return 1, true }}
		}
	})
	e.engine = nil
	e.keys = map[string]string{}
	return e
}

func (w *world) tenantOf(name string) tenant.ID {
	w.t.Helper()
	tn, err := w.hub.CreateTenant(w.t.Context(), hubsvc.TenantSpec{Name: name, Plan: tenant.PlanEnterprise})
	noError(w.t, err)
	return tn.ID
}

// key makes a key; change completes what it is.
func (w *world) key(id tenant.ID, p tenant.Permission, change func(*hubsvc.KeySpec)) (hubsvc.Key, string) {
	w.t.Helper()
	s := hubsvc.KeySpec{Tenant: id, Permissions: []tenant.Permission{p}}
	if change != nil {
		change(&s)
	}
	k, plain, err := w.hub.CreateKey(w.t.Context(), s)
	noError(w.t, err)
	return k, plain
}

func adminOf(id tenant.ID) tenant.Context {
	return tenant.Context{TenantID: id, TenantName: string(id), KeyID: "k", Permissions: []tenant.Permission{tenant.Admin}, ValidatedAt: time.Unix(1, 0)}
}

// furnish gives a tenant what a request can be about, as far as it is missing:
// the collection `docs` with point 1, and a spare key.
func (w *world) furnish(t testing.TB, id tenant.ID) {
	t.Helper()
	ctx, tc := t.Context(), adminOf(id)
	if _, err := w.data.GetCollection(ctx, tc, canaryName); collection.CodeOf(err) == collection.NotFound {
		noError(t, w.data.CreateCollection(ctx, tc, canaryName, collection.Config{Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Dot}}}, collection.ChangeOptions{}))
	}
	points := []collection.Point{{ID: collection.NumID(1), Vector: []float32{1, 2}, Payload: collection.Payload{"a": canaryPayload}}}
	_, err := w.data.Write(ctx, tc, canaryName, collection.Write{Upsert: points}, collection.WriteOptions{Wait: true})
	noError(t, err)
	if id != w.mine {
		return
	}
	if w.spare.ID != "" {
		k, err := w.hub.Key(ctx, w.spare.ID)
		noError(t, err)
		if k.Revoked == 0 && k.Rotated == 0 {
			return
		}
	}
	w.spare, _ = w.key(id, tenant.ReadOnly, func(s *hubsvc.KeySpec) { s.Name = canaryKey })
}

// settle returns when nothing is on its way behind the requests: the hub has
// the records of the collections, and no group's state has changed for a while.
func (w *world) settle() {
	w.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for same := 0; same < 25; same++ {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatal("the world does not come to rest")
		}
		known := true
		for _, id := range []tenant.ID{w.asleep, w.mine} {
			records, err := w.hub.ListCollectionRecords(w.t.Context(), id)
			noError(w.t, err)
			if known = known && len(records) > 0; known {
				w.number = records[0].Collection
			}
		}
		now := w.state()
		if now != last || !known {
			same = 0
		}
		last = now
	}
}

// state is a digest of everything that is stored.
func (w *world) state() string {
	var all strings.Builder
	for _, r := range append(slices.Clone(w.kit.Node.Replicas()), w.kit.Node.SystemReplica()) {
		digest, _ := r.Digest()
		fmt.Fprintf(&all, "%d:%x ", r.Group(), digest)
	}
	return all.String()
}

// nowhere is an address that no test comes from.
var nowhere = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}

// ask sends a request; keys and signatures are in the headers, and Host may be.
func (w *world) ask(method, url, body string, headers ...string) reply {
	w.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	noError(w.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(req)
	noError(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	noError(w.t, err)
	got := reply{t: w.t, status: resp.StatusCode, header: resp.Header, text: string(b)}
	asDocumented(w.t, method, url, got)
	return got
}

// silentNodes is a cluster that has nothing to say.
type silentNodes struct{}

func (silentNodes) ClusterHealth() ClusterHealth                                   { return ClusterHealth{} }
func (silentNodes) ClusterNodes() []ClusterNode                                    { return nil }
func (silentNodes) ClusterPartitions() []ClusterPartition                          { return nil }
func (silentNodes) CreateJoinToken(context.Context, time.Duration) (string, error) { return "t", nil }
func (silentNodes) RemoveNode(context.Context, string) error                       { return nil }

// signature is the headers of a service's request for a tenant.
func (w *world) signature(id tenant.ID, method, url, body string, change func(*tenant.SignedRequest)) []string {
	host, target, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	r := tenant.SignedRequest{
		Method: method, Target: "/" + target, Host: host, Tenant: string(id),
		Timestamp: fmt.Sprint(time.Now().Unix()), Nonce: requestID(nil), Body: []byte(body),
	}
	signed := r
	if change != nil {
		change(&signed)
	}
	return []string{
		"Authorization", "Bearer " + w.service, "X-HiveHub-Service", "gateway", "X-HiveHub-User-Id", string(id),
		"X-HiveHub-Timestamp", r.Timestamp, "X-HiveHub-Nonce", r.Nonce, "X-HiveHub-Signature", tenant.Sign(edgeSecret, signed),
	}
}

// holds reports what of mine's is in an answer.
func (w *world) holds(r reply) (leaked []string) {
	var whole strings.Builder
	whole.WriteString(r.text)
	_ = http.Header.Write(r.header, &whole)
	for _, secret := range []string{canaryPayload, canaryTenant, canaryKey, string(w.mine), string(w.spare.ID)} {
		if strings.Contains(whole.String(), secret) {
			leaked = append(leaked, secret)
		}
	}
	return leaked
}
