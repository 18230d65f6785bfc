package persistence

import "github.com/hivehub/waggle/collection"

// Sink receives one collection's events, in the order of the log. It is called
// from within Apply, before the outcomes are returned: it must be quick and
// must not call the partition. A view taken after the call holds what the
// events tell.
type Sink interface {
	Apply(index uint64, events []collection.Event)
}

// Subscribe gives sink every event of the collection that is applied after the
// view it returns: nothing is missed between the two and nothing comes twice.
// A collection has one sink at a time; a second is refused with AlreadyExists.
func (p *Partition) Subscribe(collectionID uint64, sink Sink) (collection.View, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sinks[collectionID] != nil {
		return nil, collection.Errorf(collection.AlreadyExists, "collection %d has a subscriber", collectionID)
	}
	// No checkpoint can begin now, so the store is not ahead of the snapshot.
	v, err := p.currentLocked().view()
	if err != nil {
		return nil, err
	}
	p.sinks[collectionID] = sink
	return v, nil
}

// Unsubscribe ends the collection's subscription. Its sink is not called after
// Unsubscribe has returned.
func (p *Partition) Unsubscribe(collectionID uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sinks, collectionID)
}

// deliver gives the sinks their events. The caller holds mu and has published.
func (p *Partition) deliver(entries []CommittedEntry, outcomes []collection.Outcome) {
	if len(p.sinks) == 0 {
		return
	}
	for i := range outcomes {
		for rest := outcomes[i].Events; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Collection == rest[0].Collection {
				n++
			}
			if sink := p.sinks[rest[0].Collection]; sink != nil {
				sink.Apply(entries[i].Index, rest[:n:n])
			}
			rest = rest[n:]
		}
	}
}
