package hubsvc

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"

	"github.com/hivehub/waggle/tenant"
)

// Group is the system group as the hub sees it.
type Group interface {
	// Propose puts data into the log and returns what Machine.Apply answered
	// for it: the answer, or an error with Machine's *Error in its chain. Any other
	// error means that the command was not decided, or that it is not known.
	Propose(ctx context.Context, data []byte) (any, error)
	// ReadBarrier returns when everything that was committed at the call is
	// applied on this node.
	ReadBarrier(ctx context.Context) error
	// View returns what is applied on this node.
	View() (View, error)
}

// Embedded is the hub inside Waggle: the Directory for requests, and the
// operator's commands over the system group. Its errors are *Error, or what
// Group returned when the group could not decide.
type Embedded struct {
	*Directory
	group   Group
	sealing []byte // of the authority's key

	sealingEndpoints []byte // of the keys of endpoints; nil: there are none
}

// EmbeddedOptions are what an embedded hub is told.
type EmbeddedOptions struct {
	// SealKey seals the key of the cluster's certificate authority:
	// SealKeyBytes, derived from the cluster's secret for this purpose alone.
	SealKey []byte
	// EndpointSealKey seals the keys of tenants' embedding endpoints: as
	// SealKey, for its own purpose. nil: an endpoint may have no key.
	EndpointSealKey []byte
}

// NewEmbedded returns the hub over a group whose Machine reports to d.
func NewEmbedded(d *Directory, group Group, o EmbeddedOptions) *Embedded {
	if len(o.SealKey) != SealKeyBytes {
		panic(fmt.Sprintf("BUG: a sealing key of %d bytes", len(o.SealKey)))
	}
	if n := len(o.EndpointSealKey); n != 0 && n != SealKeyBytes {
		panic(fmt.Sprintf("BUG: a sealing key for endpoints of %d bytes", n))
	}
	return &Embedded{Directory: d, group: group, sealing: slices.Clone(o.SealKey), sealingEndpoints: slices.Clone(o.EndpointSealKey)}
}

// BirthOptions are what a cluster is born with.
type BirthOptions struct {
	Partitions  uint32
	OperatorKey string // "" makes one
	TenantKey   string // ADMIN key of the tenant `default`; "" makes one
}

// FirstKeys are the keys of a newborn cluster, readable this once.
type FirstKeys struct {
	Operator string
	Tenant   string
}

// Birth makes the cluster out of an empty system group. The error is
// ALREADY_EXISTS on one that is born, AUTH_INVALID_FORMAT for a given key that
// no edge would accept.
func (e *Embedded) Birth(ctx context.Context, o BirthOptions) (Cluster, FirstKeys, error) {
	keys := FirstKeys{Operator: o.OperatorKey, Tenant: o.TenantKey}
	op := &Birth{Partitions: o.Partitions, SecretSum: e.hasher.SecretSum()}
	rand.Read(op.ClusterID[:])
	var err error
	if op.OperatorKey, err = e.firstKey(&keys.Operator, "operator"); err != nil {
		return Cluster{}, FirstKeys{}, err
	}
	if op.TenantKey, err = e.firstKey(&keys.Tenant, "tenant"); err != nil {
		return Cluster{}, FirstKeys{}, err
	}
	if op.Authority, err = newAuthority(op.ClusterID, e.sealing, e.now()); err != nil {
		return Cluster{}, FirstKeys{}, fmt.Errorf("birth: %w", err)
	}
	cluster, err := propose[Cluster](ctx, e, op)
	if err != nil {
		return Cluster{}, FirstKeys{}, fmt.Errorf("birth: %w", err)
	}
	return cluster, keys, nil
}

func (e *Embedded) firstKey(key *string, whose string) (NewKey, error) {
	if *key == "" {
		*key = tenant.NewKey()
	}
	form, err := tenant.ParseKey(*key)
	if err != nil {
		return NewKey{}, &Error{Code: CodeAuthInvalidFormat, Message: "the given " + whose + " key is not acceptable", Err: err}
	}
	if form.Kind != tenant.KeyTenant {
		return NewKey{}, errorf(CodeAuthInvalidFormat, "the given %s key must begin with hh_live_ or hh_test_", whose)
	}
	return e.newKey(*key), nil
}

func (e *Embedded) newKey(key string) NewKey {
	form, err := tenant.ParseKey(key)
	if err != nil {
		panic(fmt.Sprintf("BUG: new key of a bad form: %v", err))
	}
	return NewKey{
		ID:     tenant.KeyID("k_" + randomID(16)),
		Hash:   e.hasher.Hash(key),
		Prefix: tenant.ShownPrefix(key),
		Test:   form.Test,
	}
}

// propose validates op, so that a wrong one costs no log entry, and puts it to
// the group.
func propose[R any](ctx context.Context, e *Embedded, op Op) (R, error) {
	var none R
	c := Command{Time: e.now().UnixMilli(), Op: op, Actor: actorOf(ctx)}
	if err := c.validate(); err != nil {
		return none, err
	}
	answer, err := e.group.Propose(ctx, EncodeCommand(c))
	if err != nil {
		return none, err
	}
	record, ok := answer.(R)
	if !ok {
		panic(fmt.Sprintf("BUG: %T was answered with %T, not %T", op, answer, none))
	}
	return record, nil
}

// read calls fn on a view that has everything committed before the call.
func read[R any](ctx context.Context, e *Embedded, fn func(Reader) (R, error)) (R, error) {
	var none R
	if err := e.group.ReadBarrier(ctx); err != nil {
		return none, err
	}
	v, err := e.group.View()
	if err != nil {
		return none, err
	}
	defer v.Close()
	return fn(v)
}

// wrap says what was attempted; an *Error says enough for itself.
func wrap(err error, attempt string) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return fmt.Errorf("%s: %w", attempt, err)
}

// actorKey finds the Actor in a context.
type actorKey struct{}

// WithActor says on whose behalf the commands are that are given under ctx.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

func actorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// randomID returns n random characters, 5 bits each.
func randomID(n int) string {
	raw := make([]byte, (n*5+7)/8)
	rand.Read(raw)
	return idEncoding.EncodeToString(raw)[:n]
}
