package actors

import "github.com/asynkron/protoactor-go/actor"

// ownGoroutine runs one actor's mailbox on a goroutine that stays. The
// library's default starts a goroutine for every burst of messages, whose
// stack then grows anew through raft and the encoders: 7 % of the CPU of a
// small write. A mailbox schedules at most one run at a time, so the channel's
// room for one is enough.
type ownGoroutine struct {
	runs chan func()
	quit chan struct{}
}

var _ actor.Dispatcher = ownGoroutine{}

func newOwnGoroutine() ownGoroutine {
	return ownGoroutine{runs: make(chan func(), 1), quit: make(chan struct{})}
}

// run is the goroutine; it ends when quit is closed.
func (d ownGoroutine) run() {
	for {
		select {
		case fn := <-d.runs:
			fn()
		case <-d.quit:
			return
		}
	}
}

// Schedule hands the mailbox to the goroutine. Once that has ended, so has the
// actor, and nobody waits for the message.
func (d ownGoroutine) Schedule(fn func()) {
	select {
	case d.runs <- fn:
	case <-d.quit:
	}
}

// Throughput is how many messages are handled before others get a turn.
func (d ownGoroutine) Throughput() int { return 300 }
