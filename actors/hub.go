package actors

import (
	"context"
	"errors"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// HubMachine lets the hub's machine decide the system group's entries.
func HubMachine(m *hubsvc.Machine) collection.StateMachine { return hubMachine{m} }

type hubMachine struct{ machine *hubsvc.Machine }

// Apply passes the hub's answer on. A lost record stops the group like any
// other corruption.
func (h hubMachine) Apply(tx collection.Txn, e collection.Entry) collection.Outcome {
	answer, err := h.machine.Apply(tx, e.Index, e.Data)
	if err == nil {
		return collection.Outcome{Answer: answer}
	}
	var refusal *hubsvc.Error
	if errors.As(err, &refusal) && refusal.Code == hubsvc.CodeDataLoss {
		err = &collection.Error{Code: collection.DataLoss, Message: "a record of the hub is corrupt", Err: err}
	}
	return collection.Outcome{Err: err}
}

// HubGroup is the system group as the embedded hub sees it.
func HubGroup(r *Replica) hubsvc.Group { return hubGroup{r} }

// systemTurn is whose turn the hub's own entries take in the queue before the log.
const systemTurn tenant.ID = ""

type hubGroup struct{ replica *Replica }

// Propose decides one command of the hub.
func (g hubGroup) Propose(ctx context.Context, data []byte) (any, error) {
	return g.replica.Propose(ctx, Proposal{Tenant: systemTurn, Data: data})
}

// ReadBarrier makes the next View linearizable.
func (g hubGroup) ReadBarrier(ctx context.Context) error {
	return g.replica.ReadBarrier(ctx, systemTurn)
}

// View returns the hub's applied state.
func (g hubGroup) View() (hubsvc.View, error) { return g.replica.View() }
