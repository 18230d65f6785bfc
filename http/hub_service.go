package httpedge

import (
	"strconv"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// What a service asks the hub about: whose a key is, what a tenant may use, and
// what has changed.

// validateFor says whose a key is, to a service that has been sent it. It is
// not counted as a guess: the service's own edge does that.
func (s *Server) validateFor(r *request, _ tenant.Context) error {
	q, err := r.keyQuestion()
	if err != nil {
		return err
	}
	var tc tenant.Context
	if q.key == "" && q.id != "" {
		tc, err = s.hub.Identify(r.ctx, tenant.KeyID(q.id))
	} else {
		tc, err = s.hub.Authenticate(r.ctx, q.key)
	}
	if err == nil && tc.TenantID == "" && tc.Service == "" {
		err = errTenantKeys // an operator is one of his own cluster only
	}
	if err != nil {
		return r.answerInvalid(err)
	}
	body := whoseBody(tc)
	if tc.Service == "" {
		if err := s.completeWhose(r, &body, tc); err != nil {
			return err
		}
	}
	return r.sendJSON(200, body)
}

var errTenantKeys = &collection.Error{
	Code: collection.Unauthenticated, Reason: reasonAuthKey, Message: "the access key is not valid",
}

// completeWhose adds the key's kind and its own rates, or those of the tenant's
// plan, and the tenant's limits.
func (s *Server) completeWhose(r *request, body *whoseJSON, tc tenant.Context) error {
	k, err := s.hub.Key(r.ctx, tc.KeyID)
	if err != nil {
		return err
	}
	q, err := s.hub.Quota(r.ctx, tc.TenantID)
	if err != nil {
		return err
	}
	rates := q.Rates
	if k.Rates != nil {
		rates = *k.Rates
	}
	shown, limits := ratesBody(rates), limitsBody(q.Limits, q.Rates)
	body.Kind, body.Rates, body.Plan, body.Limits = k.Kind.String(), &shown, q.Plan, &limits
	return nil
}

// keyQuestion returns what the body asks about.
func (r *request) keyQuestion() (q keyQuestion, err error) {
	err = r.decode(func(p *pointReader) (err error) { q, err = p.keyQuestion(); return err })
	return q, err
}

// answerInvalid answers that a key is not valid, which is no failure of the
// question.
func (r *request) answerInvalid(err error) error {
	body, ok := invalidBody(err)
	if !ok {
		return err
	}
	return r.sendJSON(200, body)
}

// validateBodyMax is more than a body with a key is long: anybody may send one.
const validateBodyMax = 4 << 10

// validateAny is the same question of anybody about a key that he holds: in the
// body, or in a header. A wrong one counts as a guess.
func (s *Server) validateAny(r *request) error {
	r.bodyMax = validateBodyMax
	if err := r.limitTime(tenant.OpRead); err != nil {
		return err
	}
	if err := r.readBody(); err != nil {
		return err
	}
	given := ""
	if len(r.body) > 0 {
		q, err := r.keyQuestion()
		if err != nil {
			return err
		}
		given = q.key // an id is no secret
	}
	if given == "" {
		var err error
		if given, err = r.credential(); err != nil {
			return err
		}
	}
	tc, err := r.contextOf(given)
	switch {
	case err != nil:
		err = r.wrongKey(given, err)
	case tc.TenantID == "":
		err = errTenantKeys
	case !tc.Scope.AllowsAddress(r.address()):
		err = errAddress
	}
	if err != nil {
		return r.answerInvalid(err)
	}
	return r.sendJSON(200, whoseBody(tc))
}

// tenantQuota is what a tenant may use, and uses; with usage=false only the
// first, which the hub knows by itself.
func (s *Server) tenantQuota(r *request, _ tenant.Context) error {
	id, err := r.tenantID()
	if err != nil {
		return err
	}
	q, err := s.hub.Quota(r.ctx, id)
	if err != nil {
		return err
	}
	body := struct {
		TenantID   tenant.ID `json:"tenant_id"`
		TenantName string    `json:"tenant_name"`
		Status     string    `json:"status"`
		Plan       string    `json:"plan"`
		limitsJSON
		Usage *usageJSON `json:"usage,omitempty"`
	}{id, q.Name, "active", q.Plan, limitsBody(q.Limits, q.Rates), nil}
	if q.Suspended {
		body.Status = hubsvc.Suspended.String()
	}
	if asked, _ := r.query("usage"); asked != "false" {
		u, err := s.engine.TenantUsage(r.ctx, id)
		if err != nil {
			return err
		}
		used := usageBody(u)
		body.Usage = &used
	}
	return r.sendJSON(200, body)
}

// tenantCollections lists the hub's records of a tenant's collections, deleted
// ones too, by id.
func (s *Server) tenantCollections(r *request, _ tenant.Context) error {
	id, err := r.tenantID()
	if err != nil {
		return err
	}
	q, err := r.pageRequest()
	if err != nil {
		return err
	}
	all, err := s.hub.ListCollectionRecords(r.ctx, id)
	if err != nil {
		return err
	}
	page, next := pageOf(all, q, func(c hubsvc.CollectionRecord) (uint64, string) { return c.Collection, "c" })
	list := make([]collectionJSON, 0, len(page))
	for _, c := range page {
		list = append(list, collectionBody(c))
	}
	body := listed("collections", list, next)
	body["tenant_id"] = id
	return r.sendJSON(200, body)
}

// validateCollection says in one answer whether a collection is the user's and
// whether his quota has room.
func (s *Server) validateCollection(r *request, _ tenant.Context) error {
	raw, err := r.param("id")
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(raw, 10, 64)
	if err != nil {
		return collection.Errorf(collection.NotFound, "there is no such collection")
	}
	user, _ := r.query("userId")
	id, err := tenant.ParseID(user)
	if err != nil {
		return errParameter("query parameters", "userId: must be the id of a tenant")
	}
	c, err := s.hub.CollectionRecord(r.ctx, id, n)
	if err != nil {
		return err
	}
	q, err := s.hub.Quota(r.ctx, c.Tenant)
	if err != nil {
		return err
	}
	u, err := s.engine.TenantUsage(r.ctx, c.Tenant)
	if err != nil {
		return err
	}
	room := func(used uint64, limit int64) bool { return limit < 0 || used < uint64(limit) }
	return r.sendJSON(200, map[string]any{
		"valid": c.Deleted == 0, "tenant_id": c.Tenant, "collection": collectionBody(c),
		"quota": map[string]any{
			"available": room(u.Bytes, q.Limits.Bytes) && room(u.Points, q.Limits.Vectors),
			"limits":    limitsBody(q.Limits, q.Rates), "usage": usageBody(u),
		},
	})
}

// recordCollection takes the record of a created or deleted collection, as
// often as it is sent.
func (s *Server) recordCollection(r *request, _ tenant.Context) error {
	var q collectionRequest
	err := r.decode(func(p *pointReader) (err error) { q, err = p.collectionRequest(); return err })
	if err != nil {
		return err
	}
	c := hubsvc.CollectionRecord{
		Tenant: tenant.ID(q.tenant), Collection: *q.id, Name: q.name, Created: msOf(q.created), Deleted: msOf(q.deleted),
	}
	if err := s.hub.RecordCollection(r.ctx, c); err != nil {
		return err
	}
	return r.sendJSON(200, map[string]bool{"recorded": true})
}

// msOf is t in milliseconds since 1970, 0 for none.
func msOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

const (
	// eventWaitMax is how long a request for events waits for the first one.
	eventWaitMax = 25 * time.Second
	// eventMargin is left of the request's time for the answer.
	eventMargin = 500 * time.Millisecond
	// eventWaitersMax is how many do at once.
	eventWaitersMax = 1000
)

var errTooManyWaiters = &collection.Error{
	Code: collection.Unavailable, Reason: collection.ReasonOverload, Message: "too many requests wait for events at once",
}

// events answers with what happened after a version, at once or when something
// does: with none when nothing did in the time. The caller asks again after
// last. With reset he has missed some, and has to ask for everything anew.
func (s *Server) events(r *request, _ tenant.Context) error {
	after, err := r.number("after", 0, 1<<64-1)
	if err != nil {
		return err
	}
	most := uint64(eventWaitMax / time.Second)
	wait, err := r.number("wait", most, most)
	if err != nil {
		return err
	}
	if s.waiters.Add(1) > eventWaitersMax {
		s.waiters.Add(-1)
		return errTooManyWaiters
	}
	defer s.waiters.Add(-1)
	ctx, stop := s.inFlight.untilDrain(r.ctx)
	defer stop()
	span := time.Duration(wait) * time.Second
	if end, ok := ctx.Deadline(); ok {
		span = min(span, max(0, time.Until(end)-eventMargin))
	}
	events, last, reset, err := s.hub.Events(ctx, after, span)
	if ctx.Err() != nil && r.ctx.Err() == nil {
		return errDraining
	}
	if err != nil {
		return err
	}
	list := make([]eventJSON, 0, len(events))
	for _, e := range events {
		list = append(list, eventJSON{Version: e.Version, Kind: e.Kind, TenantID: e.Tenant, KeyID: e.KeyID, Plan: e.Plan, At: e.At})
	}
	return r.sendJSON(200, map[string]any{"events": list, "last": last, "reset": reset})
}

// number reads a parameter of the query that is a number of at most most.
func (r *request) number(name string, absent, most uint64) (uint64, error) {
	given, ok := r.query(name)
	if !ok || given == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(given, 10, 64)
	if err != nil || n > most {
		return 0, errParameter("query parameters", name+": must be a number from 0 to "+strconv.FormatUint(most, 10))
	}
	return n, nil
}
