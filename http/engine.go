package httpedge

import (
	"context"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// Engine is what the edge asks of the node's data side. Every error is, or
// wraps, a *collection.Error. No argument is kept after the call returns
// unless its type says it is given away.
type Engine interface {
	// CreateCollection makes an empty collection, or answers AlreadyExists.
	CreateCollection(ctx context.Context, tc tenant.Context, name string, cfg collection.Config, o collection.ChangeOptions) error
	// DeleteCollection reports whether there was a collection to delete.
	DeleteCollection(ctx context.Context, tc tenant.Context, name string, o collection.ChangeOptions) (existed bool, err error)
	// GetCollection describes a collection, or answers NotFound.
	GetCollection(ctx context.Context, tc tenant.Context, name string) (collection.Info, error)
	// ListCollections describes the tenant's collections, ordered by name.
	ListCollections(ctx context.Context, tc tenant.Context) ([]collection.Info, error)
	// UpdateCollection changes settings of a collection.
	UpdateCollection(ctx context.Context, tc tenant.Context, name string, op collection.UpdateCollection, o collection.ChangeOptions) error
	// UpdateAliases performs actions on the tenant's aliases, all or none, as far
	// as the key is for what they lead to.
	UpdateAliases(ctx context.Context, tc tenant.Context, actions []collection.AliasAction) error
	// ListAliases returns those of the tenant's aliases that the key is for, ordered
	// by name.
	ListAliases(ctx context.Context, tc tenant.Context) ([]collection.Alias, error)
	// PutPayloadIndex declares a field of a collection's payloads, in place of
	// what was declared of it before.
	PutPayloadIndex(ctx context.Context, tc tenant.Context, name string, x collection.PayloadIndex) (collection.Answer, error)
	// DeletePayloadIndex takes a declaration back. It may be gone before.
	DeletePayloadIndex(ctx context.Context, tc tenant.Context, name, field string) (collection.Answer, error)
	// Write changes points. The Write is given away.
	Write(ctx context.Context, tc tenant.Context, name string, w collection.Write, o collection.WriteOptions) (collection.Answer, error)
	// Retrieve returns those of the points that are there, in the order asked for.
	Retrieve(ctx context.Context, tc tenant.Context, name string, ids []collection.PointID, payload collection.PayloadSelector, vectors collection.VectorSelector) ([]collection.Point, error)
	// Scroll returns one page of points in the order of their ids.
	Scroll(ctx context.Context, tc tenant.Context, name string, req collection.ScrollRequest) (collection.Page, error)
	// Count counts the points that pass a filter; nil counts all.
	Count(ctx context.Context, tc tenant.Context, name string, f *collection.Filter) (uint64, error)
	// Query returns the points that a query asks for, the best first.
	Query(ctx context.Context, tc tenant.Context, name string, q collection.Query) ([]collection.Hit, error)
	// Turn waits until the tenant may have a processor for work that is thought to
	// take cost, and answers ResourceExhausted when too much of the tenant's waits.
	// The work may not wait for anything; leave ends it.
	Turn(ctx context.Context, id tenant.ID, cost time.Duration) (leave func(), err error)
	// Stored returns how many bytes the tenant has stored, as far as this node
	// knows, and false when it knows nothing. It is called for every answer: it
	// must be cheap.
	Stored(tc tenant.Context) (bytes uint64, ok bool)
	// DeleteTenant makes everything of a tenant unreadable before it returns;
	// the bytes go in the background.
	DeleteTenant(ctx context.Context, id tenant.ID) error
	// TenantUsage returns what a tenant has stored, with all that was
	// acknowledged; nothing for a tenant that is not there.
	TenantUsage(ctx context.Context, id tenant.ID) (collection.TenantUsage, error)
}
