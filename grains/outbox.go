package grains

import (
	"context"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

// methodRecord tells the leader of the hub of created and deleted collections.
// The request is a list of hubsvc.CollectionRecord.
const methodRecord = "record"

const (
	// outboxPause is how long records are collected, so that many creations are
	// one message to the hub.
	outboxPause = 50 * time.Millisecond
	// outboxInterval is the time between two looks at every outbox: for what
	// nobody told of, because its answer was lost, and for a hub that was away.
	outboxInterval = 5 * time.Second
)

// outboxSoon asks for the outbox of r to be emptied.
func (c *Client) outboxSoon(r *actors.Replica) { c.outbox.add(r.Group() - 1) }

// outboxLoop sends what is in the outboxes of the partitions that this node
// leads to the hub, and takes it out when the hub has it: each record at least
// once, in order, to a hub that takes a repetition for what it is.
func (c *Client) outboxLoop() {
	every := time.NewTicker(outboxInterval)
	defer every.Stop()
	for {
		select {
		case p := <-c.outbox.next:
			c.pause(outboxPause)
			c.outbox.taken(p)
			c.emptyOutbox(c.node.Partition(p))
		case <-every.C:
			for p := range uint64(c.node.Partitions()) {
				c.emptyOutbox(c.node.Partition(p))
			}
		case <-c.background.Done():
			return
		}
	}
}

// pause waits, not longer than until Stop.
func (c *Client) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.background.Done():
	}
}

// emptyOutbox sends what is in one outbox, as far as the hub takes it. What
// stays is tried again later, here or by the next leader.
func (c *Client) emptyOutbox(r *actors.Replica) {
	for r.Leads() && c.background.Err() == nil {
		more, err := c.sendOutbox(r)
		if err != nil && c.background.Err() == nil {
			c.log.Debug("records of collections wait for the hub", "partition", r.Group()-1, "err", err)
		}
		if err != nil || !more {
			return
		}
	}
}

// sendOutbox sends the oldest records. A crash between the two steps sends
// them again; so may a leader that is none any more.
func (c *Client) sendOutbox(r *actors.Replica) (more bool, err error) {
	records, last, err := c.waitingRecords(r)
	if err != nil || len(records) == 0 {
		return false, err
	}
	ctx, cancel := context.WithTimeout(c.background, callTimeout)
	defer cancel()
	if err := c.record(ctx, records); err != nil {
		return false, err
	}
	return true, c.proposeUntilDone(ctx, r, collection.Command{Op: collection.OutboxDone{Upto: last}})
}

func (c *Client) waitingRecords(r *actors.Replica) ([]hubsvc.CollectionRecord, uint64, error) {
	view, err := r.View()
	if err != nil {
		return nil, 0, err
	}
	defer view.Close()
	waiting, last, err := collection.Outbox(view, hubsvc.CollectionsInOneMax)
	records := make([]hubsvc.CollectionRecord, 0, len(waiting))
	for _, w := range waiting {
		records = append(records, hubsvc.CollectionRecord(w))
	}
	return records, last, err
}

// record gives records to the hub, here or on the node that leads it.
func (c *Client) record(ctx context.Context, records []hubsvc.CollectionRecord) error {
	number, local, _ := c.Leader("")
	if local {
		return c.options.Hub.RecordCollection(ctx, records...)
	}
	if number == 0 {
		return collection.Errorf(collection.Unavailable, "nobody leads the hub at the moment")
	}
	request, err := msgpack.Marshal(records)
	if err != nil {
		return err
	}
	_, err = c.node.Call(ctx, number, methodRecord, request)
	return err
}

// answerRecord takes records for another node.
func (c *Client) answerRecord(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
	var records []hubsvc.CollectionRecord
	if err := msgpack.Unmarshal(request, &records); err != nil {
		return nil, collection.Errorf(collection.InvalidArgument, "not records of collections")
	}
	return nil, c.options.Hub.RecordCollection(ctx, records...)
}
