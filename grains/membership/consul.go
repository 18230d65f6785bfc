package membership

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// consul is what this package asks of Consul's API: every call has a time
// limit and carries the token.
type consul struct {
	api     *api.Client
	http    *http.Client
	timeout time.Duration
	address string
	cluster string
}

func newConsul(o Options) (*consul, error) {
	config := &api.Config{Address: o.Address, Token: o.Token, HttpClient: o.client}
	config.Transport = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: o.CallTimeout}).DialContext,
		TLSHandshakeTimeout: o.CallTimeout,
		IdleConnTimeout:     time.Minute,
		MaxIdleConnsPerHost: 4,
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("consul at %s: %w", o.Address, err)
	}
	return &consul{api: client, http: config.HttpClient, timeout: o.CallTimeout, address: o.Address, cluster: o.Cluster}, nil
}

// close lets go of idle connections.
func (c *consul) close() { c.http.CloseIdleConnections() }

func (c *consul) service() string { return "waggle-" + c.cluster }

func (c *consul) birthKey() string { return "waggle/" + c.cluster + "/birth" }

// serviceID is that of a node, so that a restarted one takes its place.
func (c *consul) serviceID(e entry) string { return c.service() + "-" + e.NodeID }

// checkID is that of a process: who was overwritten gets 404, and does not
// keep the other one alive.
func (c *consul) checkID(e entry) string { return c.serviceID(e) + "-" + e.instance }

// call does one call under the time limit.
func (c *consul) call(ctx context.Context, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.wrap(what, f(ctx))
}

func (c *consul) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("consul at %s: %s: %w", c.address, what, err)
}

func query(ctx context.Context) *api.QueryOptions { return new(api.QueryOptions).WithContext(ctx) }

// register puts e into the agent, alive, in the place of an earlier one.
func (c *consul) register(ctx context.Context, e entry, ttl time.Duration) error {
	host, port, err := splitAddress(e.Address)
	if err != nil {
		return err
	}
	r := &api.AgentServiceRegistration{
		ID: c.serviceID(e), Name: c.service(), Address: host, Port: port, Meta: e.meta(),
		Check: &api.AgentServiceCheck{
			CheckID: c.checkID(e), Name: "waggle node " + e.NodeID, TTL: ttl.String(), Status: api.HealthPassing,
			DeregisterCriticalServiceAfter: reapAfter.String(),
		},
	}
	return c.call(ctx, "register", func(ctx context.Context) error {
		return c.api.Agent().ServiceRegisterOpts(r, api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx))
	})
}

func (c *consul) deregister(ctx context.Context, e entry) error {
	return c.call(ctx, "deregister", func(ctx context.Context) error {
		return c.api.Agent().ServiceDeregisterOpts(c.serviceID(e), query(ctx))
	})
}

// refresh says that e's process lives.
func (c *consul) refresh(ctx context.Context, e entry) error {
	return c.call(ctx, "refresh", func(ctx context.Context) error {
		return c.api.Agent().UpdateTTLOpts(c.checkID(e), "", api.HealthPassing, query(ctx))
	})
}

// gone tells that the agent does not know the check, which is no more.
func gone(err error) bool { return status(err) == http.StatusNotFound }

// status is the HTTP status of a refused call, 0 when there was no answer.
func status(err error) int {
	if s, ok := errors.AsType[api.StatusError](err); ok {
		return s.Code
	}
	return 0
}

// birth reads the birth key, "" when there is none.
func (c *consul) birth(ctx context.Context) (id string, err error) {
	err = c.call(ctx, "read "+c.birthKey(), func(ctx context.Context) error {
		pair, _, err := c.api.KV().Get(c.birthKey(), query(ctx))
		if pair != nil {
			id = strings.TrimSpace(string(pair.Value))
		}
		return err
	})
	return id, err
}

// claim creates the birth key with the cluster's id, or compares it: ErrForeign.
func (c *consul) claim(ctx context.Context, cluster string) error {
	id, err := c.birth(ctx)
	if err == nil && id == "" {
		err = c.call(ctx, "create "+c.birthKey(), func(ctx context.Context) error {
			// Index 0: only if there is none. Who was first is read afterwards.
			_, _, err := c.api.KV().CAS(&api.KVPair{Key: c.birthKey(), Value: []byte(cluster)}, new(api.WriteOptions).WithContext(ctx))
			return err
		})
		if err == nil {
			id, err = c.birth(ctx)
		}
		if err == nil && id == "" {
			err = fmt.Errorf("consul at %s: %s went as it was made", c.address, c.birthKey())
		}
	}
	if err != nil {
		return err
	}
	return c.compare(id, cluster)
}

// compare refuses a foreign birth key.
func (c *consul) compare(found, cluster string) error {
	if found == cluster {
		return nil
	}
	return fmt.Errorf("consul at %s: %w: %q was born as %s, this node is of %s; choose another cluster name, or delete the key %s if that cluster is no more",
		c.address, ErrForeign, c.cluster, found, cluster, c.birthKey())
}

// clash is the error for a rival.
func (c *consul) clash(self entry, rival *entry) error {
	return fmt.Errorf("consul at %s: %w: node %d at %s calls itself %q too; choose another node id, or stop one of them",
		c.address, ErrClash, rival.Number, rival.Address, self.NodeID)
}

// view is the cluster's registrations at one moment.
type view struct {
	entries []entry // of this cluster; all, if the id was not known
	foreign []entry // of other clusters of this name
	broken  []error // that are not Waggle's
	index   uint64  // Consul's, for the next blocking query

	asked, answered time.Time // it is of a moment between them
}

// list returns the registrations: at once for index 0, else when Consul's
// index has gone beyond it, or after wait. cluster "" takes in all clusters.
func (c *consul) list(ctx context.Context, cluster string, index uint64, wait time.Duration) (view, error) {
	limit := c.timeout
	if index > 0 {
		limit += wait + wait/16 // Consul adds up to a sixteenth
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	q := query(ctx)
	q.WaitIndex = index
	if index > 0 {
		q.WaitTime = wait
	}
	v := view{asked: time.Now()}
	all, meta, err := c.api.Health().Service(c.service(), "", false, q)
	if err != nil {
		return view{}, c.wrap("list members", err)
	}
	v.answered = time.Now()
	for _, s := range all {
		switch e, err := parseEntry(s); {
		case err != nil:
			v.broken = append(v.broken, err)
		case cluster != "" && e.cluster != cluster:
			v.foreign = append(v.foreign, e)
		default:
			v.entries = append(v.entries, e)
		}
	}
	v.index = meta.LastIndex // smaller than before when Consul began anew
	return v, nil
}
