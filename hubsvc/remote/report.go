package remote

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// What a node tells the hub. Each of these may be sent again and again: the hub
// takes a repetition for what it is.

// recordsAtOnce is how many records are on their way at a time.
const recordsAtOnce = 8

// RecordCollection tells the hub that collections were created or deleted. What
// the hub refuses is passed over, such as the records of a tenant that is gone:
// it would be refused again.
func (h *Hub) RecordCollection(ctx context.Context, records ...hubsvc.CollectionRecord) error {
	slots := make(chan struct{}, recordsAtOnce)
	errs := make([]error, len(records))
	var wg sync.WaitGroup
	for i := range records {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = h.recordCollection(ctx, &records[i])
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (h *Hub) recordCollection(ctx context.Context, r *hubsvc.CollectionRecord) error {
	body := map[string]any{
		"tenant_id": r.Tenant, "collection_id": strconv.FormatUint(r.Collection, 10), "name": r.Name, "created_at": r.Created,
	}
	if r.Deleted != 0 {
		body["deleted_at"] = r.Deleted
	}
	err := h.client.ask(ctx, question{
		method: "POST", path: "/api/internal/vectorizer/collection", body: body, decode: decodeRecorded,
	})
	if err != nil && !isAway(err) {
		h.options.Logger.Warn("the hub does not take the record of a collection", "tenant", r.Tenant, "collection", r.Collection, "error", err)
		return nil
	}
	return err
}

func decodeRecorded(b []byte) error {
	var w struct {
		Recorded bool `json:"recorded"`
	}
	if err := decodeJSON(b, &w); err != nil {
		return err
	}
	if !w.Recorded {
		return errForm
	}
	return nil
}

// usageWire is one report on its way to the hub.
type usageWire struct {
	Cluster string `json:"cluster_id,omitempty"`
	tenant.UsageReport
}

// ReportUsage gives reports to the hub, in their order. It returns nil when the
// hub has them all; after an error those before may have been taken, and all may
// be sent again: the hub knows a report by its id.
func (h *Hub) ReportUsage(ctx context.Context, reports []tenant.UsageReport) error {
	cluster := ""
	if h.options.Cluster != nil {
		cluster = h.options.Cluster()
	}
	for _, r := range reports {
		err := h.client.ask(ctx, question{
			method: "POST", path: "/api/internal/vectorizer/usage/update", body: usageWire{cluster, r},
			decode: func(b []byte) error { return decodeJSON(b, &struct{}{}) },
		})
		if err != nil {
			return fmt.Errorf("usage report %d of %s: %w", r.Sequence, r.Source, err)
		}
	}
	return nil
}

// LogsMax is how many rows of the operation log one call sends.
const LogsMax = 1000

// SendLogs gives rows of the operation log to the hub: at most LogsMax. It
// returns nil when the hub has them all.
func (h *Hub) SendLogs(ctx context.Context, service string, logs []tenant.OperationLog) error {
	return h.client.ask(ctx, question{
		method: "POST", path: "/api/v1/vectorizer/logs",
		body:   map[string]any{"service_id": service, "logs": logs},
		decode: func(b []byte) error { return decodeLogged(b, len(logs)) },
	})
}

// decodeLogged reads how many rows the hub took. Whether it took them it says
// in a word, or as their number again.
func decodeLogged(b []byte, sent int) error {
	var w struct {
		Accepted  any  `json:"accepted"`
		Processed *int `json:"processed"`
	}
	if err := decodeJSON(b, &w); err != nil {
		return err
	}
	if w.Accepted == nil || w.Processed == nil {
		return errForm
	}
	if (w.Accepted != true && w.Accepted != float64(sent)) || *w.Processed != sent {
		return errors.New("the hub did not take all of the operation log")
	}
	return nil
}
