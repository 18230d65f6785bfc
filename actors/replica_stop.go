package actors

import "github.com/hivehub/waggle/collection"

// stopFor answers everybody who waits with err and takes no more work.
func (a *replicaActor) stopFor(err error) {
	a.fail(err)
	err = a.Err()
	a.queue.drain(func(p *propose) { p.done(collection.Outcome{Err: err}) })
	for _, r := range a.readers {
		r.done(err)
	}
	a.readers, a.applies = nil, nil
	a.driver.Fail(err)
}

func (a *replicaActor) maybeStop() {
	if a.stopping != nil && !a.applying && !a.checkpointing && a.imaging.out == 0 {
		a.stopped = true // no task begins any more
		close(a.stopping)
		a.stopping = nil
	}
}

// abandon answers everybody who still waits when the replica goes.
func (a *replicaActor) abandon() {
	a.queue.drain(func(p *propose) { p.done(collection.Outcome{Err: errNotHere}) })
	for _, r := range a.readers {
		r.done(errNotHere)
	}
	a.readers = nil
	a.driver.Fail(errNotHere)
}
