package oplog

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// Sink is a hub that takes rows. It may be given the same ones again: it knows
// them by their ids.
type Sink interface {
	// SendLogs returns nil when the hub has all of the rows.
	SendLogs(ctx context.Context, service string, rows []tenant.OperationLog) error
}

// ShipperOptions is what a Shipper is made of.
type ShipperOptions struct {
	Log     *Log
	Sink    Sink
	Service string // who sends them
	// Refused reports whether an error says that the hub will never take these
	// rows. nil: no error does.
	Refused func(error) bool
	Every   time.Duration // between two looks for rows; 0: 5 s
	Timeout time.Duration // of one batch; 0: 30 s
	// The pause after an error: doubled each time, between these two, less up to
	// a half by chance. 0: 500 ms and a minute.
	PauseMin, PauseMax time.Duration
	Logger             *slog.Logger
}

// Shipper sends the rows of a log to a hub, in their order, at most
// tenant.LogBatchMax at a time, and notes durably what the hub has. A row that
// the hub will never take is counted as dropped, alone. It owns one goroutine,
// from StartShipper to Stop.
type Shipper struct {
	o      ShipperOptions
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	failed bool // the last time; for one line in the log
}

// StartShipper starts sending.
func StartShipper(o ShipperOptions) *Shipper {
	defaultTo(&o.Every, 5*time.Second)
	defaultTo(&o.Timeout, 30*time.Second)
	defaultTo(&o.PauseMin, 500*time.Millisecond)
	defaultTo(&o.PauseMax, time.Minute)
	if o.Refused == nil {
		o.Refused = func(error) bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Shipper{o: o}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.run)
	return s
}

func defaultTo(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

// Stop ends the sending, and sends once more what waits if that is done before
// ctx ends. It is called before the Log's.
func (s *Shipper) Stop(ctx context.Context) {
	s.cancel()
	s.wg.Wait()
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = s.batch(ctx); err != nil {
			return // it waits for the next start
		}
	}
}

func (s *Shipper) run() {
	pause := s.o.PauseMin
	for s.ctx.Err() == nil {
		more, err := s.batch(s.ctx)
		switch {
		case err != nil:
			if !s.failed && s.ctx.Err() == nil {
				s.o.Logger.Warn("the operation log waits for the hub", "err", err)
			}
			s.failed = true
			s.wait(pause/2+rand.N(pause/2+1), nil)
			pause = min(2*pause, s.o.PauseMax)
		case more:
			s.failed, pause = false, s.o.PauseMin
		default:
			s.failed, pause = false, s.o.PauseMin
			s.wait(s.o.Every, s.o.Log.enough)
		}
	}
}

func (s *Shipper) wait(d time.Duration, soon <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-soon:
	case <-s.ctx.Done():
	}
}

// batch sends the oldest rows. more is true while there may be others.
func (s *Shipper) batch(ctx context.Context) (more bool, err error) {
	b, err := s.o.Log.Batch(tenant.LogBatchMax)
	if err != nil || b.next == s.o.Log.position() {
		return false, err
	}
	// What is ahead of the clock here, too, was made while it was wrong: no hub
	// takes it. A hub whose clock alone says so is asked again.
	rows, ahead := make([]tenant.OperationLog, 0, len(b.Rows)), s.o.Log.now().Add(tenant.LogAheadMax).UnixMilli()
	for i := range b.Rows {
		if b.Rows[i].Time <= ahead {
			rows = append(rows, b.Rows[i].Entry())
		}
	}
	refused, err := s.send(ctx, rows)
	if err != nil {
		return false, err
	}
	refused += len(b.Rows) - len(rows)
	if refused > 0 {
		s.o.Logger.Error("the hub does not take rows of the operation log; they are dropped", "rows", refused)
	}
	return len(b.Rows) == tenant.LogBatchMax, s.o.Log.Accept(b, refused)
}

// send returns how many of the rows the hub will never take: it looks for them
// by halves, so that they take no others along.
func (s *Shipper) send(ctx context.Context, rows []tenant.OperationLog) (refused int, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	limited, cancel := context.WithTimeout(ctx, s.o.Timeout)
	err = s.o.Sink.SendLogs(limited, s.o.Service, rows)
	cancel()
	if err == nil || !s.o.Refused(err) {
		return 0, err
	}
	if len(rows) == 1 {
		return 1, nil
	}
	half := len(rows) / 2
	first, err := s.send(ctx, rows[:half])
	if err != nil {
		return 0, err
	}
	second, err := s.send(ctx, rows[half:])
	return first + second, err
}

// position is up to where the hub has the rows.
func (l *Log) position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.position
}
