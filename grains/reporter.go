package grains

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence/tally"
	"github.com/hivehub/waggle/tenant"
)

// UsageSink is the hub's ledger: a report that it took before is passed over.
// It takes up to
// hubsvc.UsageReportsMax reports with hubsvc.UsageEntriesMax entries in all.
type UsageSink interface {
	ReportUsage(ctx context.Context, reports []tenant.UsageReport) error
}

// methodReport tells the leader of the hub what was used. The request is a list
// of tenant.UsageReport.
const methodReport = "usage-report"

// ReportUsage gives reports to the embedded hub, here or on the node that leads
// it.
func (c *Client) ReportUsage(ctx context.Context, reports []tenant.UsageReport) error {
	number, local, _ := c.Leader("")
	if local {
		return c.options.Usage.ReportUsage(ctx, reports)
	}
	if number == 0 {
		return collection.Errorf(collection.Unavailable, "nobody leads the hub at the moment")
	}
	request, err := msgpack.Marshal(reports)
	if err != nil {
		return err
	}
	_, err = c.node.Call(ctx, number, methodReport, request)
	return err
}

// answerReport takes reports for another node.
func (c *Client) answerReport(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
	var reports []tenant.UsageReport
	if err := msgpack.Unmarshal(request, &reports); err != nil {
		return nil, collection.Errorf(collection.InvalidArgument, "not reports of usage")
	}
	return nil, c.options.Usage.ReportUsage(ctx, reports)
}

// ReporterOptions are what a Reporter works with.
type ReporterOptions struct {
	Client    *Client
	Tally     *tally.Tally
	Sink      UsageSink
	Cluster   func() string // the cluster's id
	Interval  time.Duration // between two reports of one source
	DropAfter time.Duration // that the hub has refused a report; 0: usageDropAfter
	Logger    *slog.Logger
}

// Reporter makes reports of what was used, and gives them to the hub until it
// has them: of the partitions that this node leads, and of what was read on it.
//
// Every Interval, with usageDirtyMax changes, and at Stop, it has what was
// counted frozen into a report: by an entry of the partition, by a Cut of the
// tally. From then on the report is the same for whoever sends it, and is kept
// there until an entry, or Done, says that the hub has it. So no leader needs to
// know what the one before it has sent, and a crash between any two steps sends
// a report once more, which the ledger passes over. While the hub is away it
// tries again, less and less often. A report that it refuses for what is in it,
// and goes on to refuse, is given up: the source's others would wait for it for
// ever.
//
// A goroutine of its own has the tally on the disk every usageTick, however slow
// the hub is.
type Reporter struct {
	options ReporterOptions
	client  *Client
	log     *slog.Logger

	sent, waiting, since, refused, flushes atomic.Int64 // see Stats

	background context.Context // ends when Stop begins
	cancel     context.CancelFunc
	last       context.Context // of what is done at Stop; set before cancel
	done       chan struct{}   // nothing is cut or sent any more
	flushed    chan struct{}   // nor flushed

	// Of the goroutine that cuts and sends.
	pause    time.Duration // before the next try; 0: the last one succeeded
	retryAt  time.Time
	refusals map[string]refusal // by source; of those whose last report was refused
}

// refusal is a report that the hub does not take for what is in it.
type refusal struct {
	sequence uint64
	since    time.Time
}

const (
	// usageDirtyMax is how many collections that were used make a report before
	// its time.
	usageDirtyMax = 1000
	// usageTick is how often it is looked for that, and how much of what was read
	// a crash of the machine loses.
	usageTick = time.Second
	// usageAtOnce is how many waiting reports of one partition are sent in one turn.
	usageAtOnce   = 16
	usagePauseMin = time.Second
	usagePauseMax = time.Minute
	// cutTimeout bounds what one partition is waited for, which may have lost its
	// majority; cutsAtOnce is how many are.
	cutTimeout = 5 * time.Second
	cutsAtOnce = 8
	// usageDropAfter is how long a report is tried again that the hub refuses for
	// what is in it: a hub may be misled by its own fault, and that be mended.
	usageDropAfter = time.Hour
)

// StartReporter returns a running Reporter; Stop ends it.
func StartReporter(o ReporterOptions) *Reporter {
	if o.DropAfter == 0 {
		o.DropAfter = usageDropAfter
	}
	r := &Reporter{
		options: o, client: o.Client, log: o.Logger, done: make(chan struct{}), flushed: make(chan struct{}),
		refusals: map[string]refusal{},
	}
	r.background, r.cancel = context.WithCancel(context.Background())
	go r.run()
	go r.flush()
	return r
}

// Stop makes a last report and tries to give it to the hub until ctx ends. What
// the hub did not take stays in the tally and the partitions. Nothing may be
// counted any more that is to be in it.
func (r *Reporter) Stop(ctx context.Context) error {
	r.last = ctx
	r.cancel()
	<-r.done
	<-r.flushed
	return nil
}

// ReporterStats are how far the reports are.
type ReporterStats struct {
	Sent    int64     // reports that the hub has taken
	Waiting int64     // reports that it has not, of this node and of what it leads
	Since   time.Time // begin of the period of the oldest of them; zero: there is none
	Refused int64     // reports that were given up, since the hub refused them for good
	Flushes int64     // how often what was read was put on the disk
}

// Stats may be called from anywhere.
func (r *Reporter) Stats() ReporterStats {
	s := ReporterStats{Sent: r.sent.Load(), Waiting: r.waiting.Load(), Refused: r.refused.Load(), Flushes: r.flushes.Load()}
	if since := r.since.Load(); since > 0 {
		s.Since = time.UnixMilli(since)
	}
	return s
}

func (r *Reporter) run() {
	defer close(r.done)
	tick := time.NewTicker(usageTick)
	defer tick.Stop()
	due := time.Now().Add(r.options.Interval)
	for {
		select {
		case now := <-tick.C:
			all := !now.Before(due)
			if all {
				due = now.Add(r.options.Interval)
			}
			r.cut(r.background, all)
			r.trySend(now)
		case <-r.background.Done():
			ctx := r.last
			_ = r.send(ctx) // what is frozen makes room for the last cut
			r.cut(ctx, true)
			if err := r.send(ctx); err != nil {
				r.log.Info("the last report of usage waits for the next start", "err", err)
			}
			return
		}
	}
}

// flush keeps the tally on the disk.
func (r *Reporter) flush() {
	defer close(r.flushed)
	tick := time.NewTicker(usageTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.options.Tally.Flush(); err != nil {
				r.log.Warn("what was read is not on the disk yet", "err", err)
				continue
			}
			r.flushes.Add(1)
		case <-r.done:
			return
		}
	}
}

// trySend sends unless it is too early after a failure.
func (r *Reporter) trySend(now time.Time) {
	if now.Before(r.retryAt) {
		return
	}
	err := r.send(r.background)
	switch {
	case err == nil:
		if r.pause > 0 {
			r.log.Info("the hub takes reports of usage again")
		}
		r.pause = 0
		return
	case r.background.Err() != nil:
		return
	case r.pause == 0:
		r.log.Warn("reports of usage wait for the hub", "err", err)
	default:
		r.log.Debug("reports of usage wait for the hub", "err", err)
	}
	r.pause = min(max(2*r.pause, usagePauseMin), usagePauseMax)
	r.retryAt = now.Add(r.pause/2 + rand.N(r.pause))
}

// cut makes reports: all that there is something for, or those that are large.
func (r *Reporter) cut(ctx context.Context, all bool) {
	t := r.options.Tally
	if all || t.Used() >= usageDirtyMax {
		if err := t.Cut(time.Now().UnixMilli()); err != nil {
			r.log.Warn("what was read cannot be reported yet", "err", err)
		}
	}
	slots := make(chan struct{}, cutsAtOnce)
	var wg sync.WaitGroup
	for p := range r.led() {
		dirty, err := dirtyWindows(p)
		switch {
		case err != nil:
			r.log.Debug("what was stored cannot be reported yet", "partition", p.Group()-1, "err", err)
		case dirty > 0 && (all || dirty >= usageDirtyMax):
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				if err := r.command(ctx, p, collection.CutUsage{}); err != nil && ctx.Err() == nil {
					r.log.Debug("what was stored cannot be reported yet", "partition", p.Group()-1, "err", err)
				}
			})
		}
	}
	wg.Wait()
}

// command has a partition do what is to be done, for so long as it may keep
// others waiting.
func (r *Reporter) command(ctx context.Context, p *actors.Replica, op collection.Op) error {
	ctx, cancel := context.WithTimeout(ctx, cutTimeout)
	defer cancel()
	return r.client.proposeUntilDone(ctx, p, collection.Command{Op: op})
}

// led yields the partitions that this node leads.
func (r *Reporter) led() func(func(*actors.Replica) bool) {
	return func(yield func(*actors.Replica) bool) {
		for p := range uint64(r.client.node.Partitions()) {
			if replica := r.client.node.Partition(p); replica.Leads() && !yield(replica) {
				return
			}
		}
	}
}

func dirtyWindows(p *actors.Replica) (int, error) {
	view, err := p.View()
	if err != nil {
		return 0, err
	}
	defer view.Close()
	return collection.DirtyWindows(view)
}

// parcel is what one source has for the hub.
type parcel struct {
	reports []tenant.UsageReport
	done    func(ctx context.Context, upto uint64) error
}

// send gives the hub what waits. Its error is the first that the hub, or who
// marks what it took, has answered.
func (r *Reporter) send(ctx context.Context) error {
	var failed error
	left, oldest := 0, int64(0)
	parcels := r.parcels()
	for _, box := range boxes(parcels) {
		if failed == nil || !away(failed) { // else nobody takes the others
			if err := r.deliver(ctx, box); err != nil && failed == nil {
				failed = err
			}
		}
	}
	for _, p := range r.parcels() {
		for _, report := range p.reports {
			left++
			if oldest == 0 || report.Start < oldest {
				oldest = max(report.Start, 1)
			}
		}
	}
	r.waiting.Store(int64(left))
	r.since.Store(oldest)
	return failed
}

// parcels are what waits, by source.
func (r *Reporter) parcels() (all []parcel) {
	t := r.options.Tally
	// The file's birth makes its sequences unique: see the tally's package.
	source := "n:" + strconv.FormatUint(uint64(r.client.node.Number()), 10) + ":" + strconv.FormatUint(t.Birth(), 16)
	if waiting := r.name(source, t.Waiting()); len(waiting) > 0 {
		all = append(all, parcel{waiting, func(_ context.Context, upto uint64) error { return t.Done(upto) }})
	}
	for p := range r.led() {
		waiting, err := waitingUsage(p)
		if err != nil {
			r.log.Debug("reports of a partition cannot be read", "partition", p.Group()-1, "err", err)
		}
		if len(waiting) > 0 {
			all = append(all, parcel{r.name(tenant.PartitionSource(p.Group()-1), waiting), func(ctx context.Context, upto uint64) error {
				return r.command(ctx, p, collection.UsageDone{Upto: upto})
			}})
		}
	}
	return all
}

func waitingUsage(p *actors.Replica) ([]tenant.UsageReport, error) {
	view, err := p.View()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	return collection.WaitingUsage(view, usageAtOnce)
}

func (r *Reporter) name(source string, reports []tenant.UsageReport) []tenant.UsageReport {
	for i := range reports {
		reports[i].Source = source
		reports[i].ReportID = tenant.ReportID(r.options.Cluster(), source, reports[i].Sequence)
	}
	return reports
}

// boxes packs parcels into calls of the sink, each source's reports in their
// order.
func boxes(parcels []parcel) (all [][]parcel) {
	var box []parcel
	reports, entries := 0, 0
	for _, p := range parcels {
		for len(p.reports) > 0 {
			n := 0
			for n < len(p.reports) && reports < hubsvc.UsageReportsMax && (entries+len(p.reports[n].Entries) <= hubsvc.UsageEntriesMax || reports == 0) {
				entries += len(p.reports[n].Entries)
				reports++
				n++
			}
			if n > 0 {
				box = append(box, parcel{p.reports[:n], p.done})
				p.reports = p.reports[n:]
			}
			if len(p.reports) > 0 {
				all, box, reports, entries = append(all, box), nil, 0, 0
			}
		}
	}
	if len(box) > 0 {
		all = append(all, box)
	}
	return all
}

// deliver gives the hub a box. One that it refuses is unpacked, so that no
// source waits for what is wrong with another.
func (r *Reporter) deliver(ctx context.Context, box []parcel) error {
	var reports []tenant.UsageReport
	for _, p := range box {
		for _, report := range p.reports {
			if len(report.Entries) > 0 { // what was damaged on the disk can leave none
				reports = append(reports, report)
			}
		}
	}
	var err error
	if len(reports) > 0 {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err = r.options.Sink.ReportUsage(call, reports)
		cancel()
	}
	switch {
	case err == nil:
	case away(err):
		return err
	case len(box) > 1:
		var all []error
		for _, p := range box {
			all = append(all, r.deliver(ctx, []parcel{p}))
		}
		return errors.Join(all...)
	case len(reports) > 1:
		for i := range reports {
			if err := r.deliver(ctx, []parcel{{reports[i : i+1], box[0].done}}); err != nil {
				return err // those behind it wait: what is done is told by the last one's number
			}
		}
		return nil
	case !r.givesUp(&reports[0], err):
		return err
	default:
		return box[0].done(ctx, reports[0].Sequence)
	}
	r.sent.Add(int64(len(reports)))
	for _, p := range box {
		last := p.reports[len(p.reports)-1]
		delete(r.refusals, last.Source)
		if e := p.done(ctx, last.Sequence); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// givesUp reports whether a report that the hub has refused with err is lost:
// the hub refuses it for what is in it, such as that it has counted another one
// under its number, and has done so for DropAfter. A hub without room for it may
// have some later.
func (r *Reporter) givesUp(report *tenant.UsageReport, err error) bool {
	e, ok := errors.AsType[*hubsvc.Error](err)
	if !ok || e.Code != hubsvc.CodeFailedPrecondition && e.Code != hubsvc.CodeInvalidRequest {
		return false
	}
	first, ok := r.refusals[report.Source]
	if !ok || first.sequence != report.Sequence {
		r.refusals[report.Source] = refusal{report.Sequence, time.Now()}
		r.log.Warn("the hub refuses a report of usage", "source", report.Source, "sequence", report.Sequence, "err", err)
		return false
	}
	if time.Since(first.since) < r.options.DropAfter {
		return false
	}
	delete(r.refusals, report.Source)
	r.refused.Add(1)
	r.log.Error("a report of usage is given up: the hub refuses it for good, and what it counted is not billed",
		"source", report.Source, "sequence", report.Sequence, "report_id", report.ReportID, "entries", len(report.Entries), "err", err)
	return true
}

// away reports whether an error is of a hub that could not be asked, rather than
// of one that refused.
func away(err error) bool {
	if e, ok := errors.AsType[*hubsvc.Error](err); ok {
		return e.Code == hubsvc.CodeUnavailable
	}
	code := collection.CodeOf(domainError(err))
	return code == collection.Unavailable || code == collection.DeadlineExceeded
}
