package persistence

import (
	"fmt"

	"github.com/hivehub/waggle/collection"
)

// Resetter is a Sink that is told when its events end because the partition
// switched to another store: what comes after is not continuous with what came
// before. No event follows. The sink's owner drops what it built of them,
// unsubscribes, and subscribes anew. Reset is called as Apply is: it must be
// quick and must not call the partition; a view taken after it shows the new
// state.
type Resetter interface{ Reset() }

// ended is the sink of a subscription whose events ended. It keeps the place,
// so that the owner's Unsubscribe cannot end a subscription that came after.
type ended struct{}

// Apply implements Sink.
func (ended) Apply(uint64, []collection.Event) {}

// SwitchStore goes on with the store that open returns instead of the one
// there is: that of an image, once the log's record of it (the Append with
// Start at the image's index) is durable. The delta is dropped, a checkpoint
// that runs is abandoned, and every Resetter among the sinks is reset. Views
// of the old state stay good until they are closed; the last of them removes
// the old store's file. A partition that was stopped runs again.
//
// It may be called from where Apply is, and takes as long as opening a store.
// An error stops the partition: the old store does not belong to the log any
// more, and a restart opens the new one.
func (p *Partition) SwitchStore(open func() (Store, error)) error {
	store, err := open()
	if err != nil {
		err = fmt.Errorf("switch to the image's store: %w", err)
		p.base.Load().stop(err)
		return err
	}
	if store.Meta().Applied == 0 {
		panic("BUG: switch to an empty store")
	}
	p.mu.Lock()
	old := p.base.Swap(newBase(store))
	p.active, p.frozen = new(delta), nil
	p.meta = store.Meta()
	p.digest = digestOf(p.meta.Digest)
	clear(p.newest)
	p.deltaBytes.Store(0)
	p.published.Store(nil)
	for id, sink := range p.sinks {
		p.sinks[id] = ended{}
		if r, ok := sink.(Resetter); ok {
			r.Reset()
		}
	}
	p.mu.Unlock()
	old.release()
	return nil
}
