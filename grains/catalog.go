package grains

import (
	"context"
	"slices"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// UpdateAliases changes the tenant's aliases: all actions in their order, or
// none. A key that is narrowed has to be for every name in them, and for the
// collection that an alias leads to when it is renamed or deleted.
func (c *Client) UpdateAliases(ctx context.Context, tc tenant.Context, actions []collection.AliasAction) error {
	r, err := c.enter(tc)
	if err != nil {
		return err
	}
	op := collection.UpdateAliases{Actions: actions}
	if err := op.Validate(c.options.Limits); err != nil {
		return err
	}
	if err := c.mayAliases(ctx, tc, actions); err != nil {
		return asError(err)
	}
	_, err = c.decide(ctx, r, tc, collection.Command{Op: op})
	return asError(err)
}

// mayAliases refuses actions that a narrowed key is not for, as if the names
// were not there.
func (c *Client) mayAliases(ctx context.Context, tc tenant.Context, actions []collection.AliasAction) error {
	if tc.Scope == nil {
		return nil
	}
	view, err := c.read(ctx, tc)
	if err != nil {
		return err
	}
	defer view.Close()
	for _, a := range actions {
		for _, name := range []string{a.Alias, a.Target} {
			if err := mayName(view, tc, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayName refuses a name that a narrowed key is not for, and one that leads to
// such a collection.
func mayName(view collection.Reader, tc tenant.Context, name string) error {
	if name == "" {
		return nil
	}
	if !tc.MayCollection(name) {
		return notFound(name)
	}
	info, ok, err := collection.Resolve(view, tc.TenantID, name)
	if err != nil {
		return err
	}
	if ok && !tc.MayCollection(info.Name) {
		return notFound(name)
	}
	return nil
}

// ListAliases returns the tenant's aliases in the order of their names: those
// that the key is for, with the collections that they lead to.
func (c *Client) ListAliases(ctx context.Context, tc tenant.Context) ([]collection.Alias, error) {
	view, err := c.read(ctx, tc)
	if err != nil {
		return nil, asError(err)
	}
	defer view.Close()
	list, err := collection.ListAliases(view, tc.TenantID)
	list = slices.DeleteFunc(list, func(a collection.Alias) bool {
		return !tc.MayCollection(a.Name) || !tc.MayCollection(a.Collection)
	})
	return list, asError(err)
}

// UpdateCollection changes settings of a collection. What changes answers (idf)
// takes effect with the next query, everything else that an index is made with
// when the collection is activated the next time.
func (c *Client) UpdateCollection(ctx context.Context, tc tenant.Context, name string, op collection.UpdateCollection, o collection.ChangeOptions) error {
	cmd := collection.Command{Key: o.IdempotencyKey, Hash: o.RequestHash, Op: op}
	if o.Match != nil {
		cmd.Op = collection.IfMatch{Tag: *o.Match, Op: op}
	}
	_, err := c.configure(ctx, tc, name, cmd, func(info collection.Info) error { return op.Validate(info.Config) })
	return asError(err)
}

// PutPayloadIndex declares a field of a collection's payloads, in place of what
// was declared of it before. Where the collection is active its payloads are
// indexed at once, in the background; where it is not, when it is activated.
func (c *Client) PutPayloadIndex(ctx context.Context, tc tenant.Context, name string, x collection.PayloadIndex) (collection.Answer, error) {
	answer, err := c.configure(ctx, tc, name, collection.Command{Op: collection.PutPayloadIndex{Index: x}}, func(collection.Info) error { return x.Validate() })
	if err == nil {
		if l := c.directory.live(grainKey{tc.TenantID, answer.Collection}); l != nil {
			l.wantPayloads()
		}
	}
	return answer, asError(err)
}

// DeletePayloadIndex takes a declaration back. It may be gone before.
func (c *Client) DeletePayloadIndex(ctx context.Context, tc tenant.Context, name, field string) (collection.Answer, error) {
	answer, err := c.configure(ctx, tc, name, collection.Command{Op: collection.DeletePayloadIndex{Field: field}}, func(collection.Info) error { return nil })
	return answer, asError(err)
}

// configure performs an operation on a collection that changes none of its
// points, if check allows it.
func (c *Client) configure(ctx context.Context, tc tenant.Context, name string, cmd collection.Command, check func(collection.Info) error) (collection.Answer, error) {
	view, info, err := c.open(ctx, tc, name)
	if err != nil {
		return collection.Answer{}, err
	}
	view.Close()
	if err := check(info); err != nil {
		return collection.Answer{}, err
	}
	cmd.Collection = info.ID
	answer, err := c.decide(ctx, c.replicaOf(tc.TenantID), tc, cmd)
	if collection.CodeOf(err) == collection.NotFound {
		err = notFound(name) // it was deleted meanwhile
	}
	return answer, err
}

const (
	// countedMax is how many points of a collection that is not active are gone
	// through to tell how many have a field; of more, so many are a sample.
	countedMax  = 10_000
	sampledSize = 1_000
)

// fields describes the declared fields of a collection.
func (c *Client) fields(ctx context.Context, tc tenant.Context, r collection.Reader, info *collection.Info) error {
	list, err := collection.ListPayloadIndexes(r, info.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	x := c.surveyed(grainKey{tc.TenantID, info.ID})
	if x != nil {
		defer x.end()
	}
	info.Fields = make([]collection.FieldInfo, len(list))
	has := make([]*collection.Filter, len(list))
	for i, one := range list {
		path, err := collection.ParsePath(one.Field)
		if err != nil {
			return err
		}
		info.Fields[i].PayloadIndex = one
		has[i] = &collection.Filter{MustNot: []collection.Condition{collection.IsEmpty{Key: path}}}
		if x == nil || len(path) > 1 { // of a path the index knows the beginning only
			continue
		}
		if info.Fields[i].Points, err = x.count(ctx, has[i]); err != nil {
			return err
		}
		has[i] = nil
	}
	return sampleFields(ctx, r, info, has)
}

// sampleFields counts the points that pass filters, of those that there are, by
// going through all of them, or through some for an estimate.
func sampleFields(ctx context.Context, r collection.Reader, info *collection.Info, has []*collection.Filter) error {
	matchers := make([]*collection.Matcher, len(has))
	asked := false
	for i, f := range has {
		if f != nil {
			matchers[i], asked = f.Compile(info.Config), true
		}
	}
	if !asked {
		return nil
	}
	seen, most := uint64(0), info.Points
	if most > countedMax {
		most = sampledSize
	}
	err := collection.ScanPoints(r, info.ID, 0, func(_ uint64, rec collection.Record) bool {
		seen++
		for i, m := range matchers {
			if m != nil && m.MatchesRecord(rec.ID(), rec.PayloadBytes(), 0) {
				info.Fields[i].Points++
			}
		}
		return seen < most && ctx.Err() == nil
	})
	for i, m := range matchers {
		if m != nil && seen > 0 {
			info.Fields[i].Points = info.Fields[i].Points * info.Points / seen
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}
