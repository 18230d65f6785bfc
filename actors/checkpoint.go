package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/hivehub/waggle/collection"
)

// maybeCheckpoint begins a checkpoint when the delta is large or old, when the
// node is short of memory for deltas, or when the replica is stopping.
func (a *replicaActor) maybeCheckpoint() {
	if a.stopped || a.checkpointing || a.applying || a.imaging.switching || a.Err() != nil {
		return
	}
	o := &a.node.options
	size := a.partition.DeltaBytes()
	applied, _ := a.partition.Applied()
	switch {
	case applied == a.partition.Stored().Applied: // an entry may change the members only, and no bytes
		a.unstored.Store(0)
		return
	}
	a.unstored.CompareAndSwap(0, time.Now().UnixNano())
	switch {
	case size >= o.CheckpointBytes, time.Since(a.lastCheckpoint) >= o.CheckpointInterval:
	case a.node.counters.deltaBytes.Load() >= o.DeltaBytesMax && size >= o.CheckpointBytes/16:
	default:
		return
	}
	a.beginCheckpoint()
}

func (a *replicaActor) beginCheckpoint() {
	c, ok := a.partition.BeginCheckpoint()
	if !ok {
		return
	}
	a.checkpointing = true
	a.lastCheckpoint = time.Now()
	begun := time.Now()
	a.node.checkpointers.submit(func() {
		err := c.Write()
		a.node.counters.checkpoints.Add(time.Since(begun))
		a.send(&checkpointed{checkpoint: c, err: err})
	})
}

// finishCheckpoint drops the frozen delta and gives the log up to what the
// store now holds. A corrupt store stops its partition; a disk that does not
// take the write may have kept any part of it, so the process must end.
func (a *replicaActor) finishCheckpoint(m *checkpointed) {
	a.checkpointing = false
	defer a.maybeSwitch()
	if m.err != nil {
		a.stopFor(m.err)
		if collection.CodeOf(m.err) != collection.DataLoss {
			a.node.options.OnFatal(fmt.Errorf("checkpoint of group %d: %w", a.group, m.err))
		}
		return
	}
	index := m.checkpoint.Finish()
	a.unstored.Store(0) // what came after it began is noted at the next look
	a.driver.Stored(a.partition.Stored())
	a.node.writer.cut(a.group, index)
	a.noteDelta()
}

// noteDelta keeps the node's sum of delta bytes and wakes writes that wait for
// it to shrink.
func (a *replicaActor) noteDelta() {
	now := a.partition.DeltaBytes()
	sum := a.node.counters.deltaBytes.Add(now - a.counted)
	a.counted = now
	if sum < a.node.options.DeltaBytesMax {
		a.node.memory.Broadcast()
	}
}

// awaitMemory waits while the deltas of the node hold their maximum: writes
// go at the speed of the checkpoints then.
func (n *Node) awaitMemory(ctx context.Context) error {
	for n.counters.deltaBytes.Load() >= n.options.DeltaBytesMax {
		wait := n.memory.Wait()
		if n.counters.deltaBytes.Load() < n.options.DeltaBytesMax {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return &collection.Error{
				Code: collection.Unavailable, Reason: collection.ReasonOverload,
				Message: "writes come in faster than the disk takes them; retry shortly", Err: ctx.Err(),
			}
		}
	}
	return nil
}
