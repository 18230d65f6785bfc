package httpedge

import (
	"context"
	"slices"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// A large body is decoded in its tenant's turn, which has ended when the engine
// is asked; one that gets no turn is not decoded at all.
func TestLargeBodiesTakeTurns(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.do = func(context.Context) {
		if len(e.engine.turns) != e.engine.left {
			t.Error("the engine was asked in the turn of the decoding")
		}
	}
	body := upsertBody(10, 768, "null")
	if len(body) <= bigBody {
		t.Fatalf("%d bytes", len(body))
	}
	e.q("PUT", "/collections/docs/points", upsert).is(200, "")
	if len(e.engine.turns) != 0 {
		t.Errorf("turns %v of a small body", e.engine.turns)
	}
	e.q("PUT", "/collections/docs/points", string(body)).is(200, "")
	if !slices.Equal(e.engine.turns, []tenant.ID{e.tenant}) || e.engine.left != 1 {
		t.Errorf("turns %v, %d have ended", e.engine.turns, e.engine.left)
	}
	e.engine.take()
	e.engine.busy = &collection.Error{Code: collection.ResourceExhausted, Reason: collection.ReasonBusy, Message: "busy"}
	e.q("PUT", "/collections/docs/points", string(body)).is(429, "busy")
	if calls := e.engine.take(); len(calls) != 0 {
		t.Errorf("calls %v", calls)
	}
}
