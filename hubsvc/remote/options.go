package remote

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Options are what a Hub works with.
type Options struct {
	URL         string // of the hub, without a path of the API
	ServiceKey  string
	ServiceName string // default waggle

	Timeout time.Duration // of one question, all tries together; default 30 s
	Retries int           // after network errors and answers of 500 and more; default 3
	IdleMax int           // connections that are kept open; default 10

	Cache CacheOptions

	Hasher  *hubsvc.KeyHasher
	Own     Own           // the hub inside the cluster
	File    string        // where it is kept how far the events were read; "" is nowhere
	Cluster func() string // the id of the cluster, for what is reported

	Logger    *slog.Logger
	Transport http.RoundTripper // nil: as Timeout and IdleMax say
}

// CacheOptions say for how long what the hub said is good.
type CacheOptions struct {
	Off        bool          // every key is asked about every time
	KeyTTL     time.Duration // default 300 s
	QuotaTTL   time.Duration // default 60 s
	Grace      time.Duration // beyond that, while the hub does not answer; default 15 min
	RefusedTTL time.Duration // of what the hub said is no key; default 10 s
	EntriesMax int           // keys, and likewise tenants; default 100,000
}

// Own is what the hub inside the cluster is still asked for.
// *hubsvc.Embedded is one.
type Own interface {
	Authenticate(ctx context.Context, key string) (tenant.Context, error)
	Readmit(ctx context.Context, tc tenant.Context) (tenant.Context, error)
	ListAudit(ctx context.Context, q hubsvc.AuditQuery) ([]hubsvc.AuditEntry, string, error)
}

func (o *Options) ensureDefaults() {
	o.ServiceName = cmp.Or(o.ServiceName, "waggle")
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.Retries = cmp.Or(o.Retries, 3)
	o.IdleMax = cmp.Or(o.IdleMax, 10)
	c := &o.Cache
	c.KeyTTL = cmp.Or(c.KeyTTL, 300*time.Second)
	c.QuotaTTL = cmp.Or(c.QuotaTTL, 60*time.Second)
	c.Grace = cmp.Or(c.Grace, 15*time.Minute)
	c.RefusedTTL = cmp.Or(c.RefusedTTL, 10*time.Second)
	c.EntriesMax = cmp.Or(c.EntriesMax, 100_000)
	if c.Off {
		c.KeyTTL, c.QuotaTTL, c.Grace, c.RefusedTTL = 0, 0, 0, 0
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = newTransport(o)
	}
}
