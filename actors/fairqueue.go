package actors

import "github.com/hivehub/waggle/tenant"

// roundBytesMax is how much of one tenant goes into the log in one round while
// others wait, so that a tenant's burst delays another's write by one share
// and not by the whole burst.
const roundBytesMax = 1 << 20

// fairQueue holds the proposals of one partition that wait for the log: a
// queue per tenant, served round robin. It belongs to the replica actor.
type fairQueue struct {
	tenants map[tenant.ID][]*propose
	order   []tenant.ID // tenants with proposals, next to be served first
}

func (q *fairQueue) push(p *propose) {
	if q.tenants == nil {
		q.tenants = map[tenant.ID][]*propose{}
	}
	waiting := q.tenants[p.tenant]
	if len(waiting) == 0 {
		q.order = append(q.order, p.tenant)
	}
	q.tenants[p.tenant] = append(waiting, p)
}

func (q *fairQueue) empty() bool { return len(q.order) == 0 }

// round calls fn with at most roundBytesMax of each tenant's proposals (and
// at least one), in the order in which each tenant posted them.
func (q *fairQueue) round(fn func(*propose)) {
	order := q.order
	q.order = nil
	for _, id := range order {
		waiting := q.tenants[id]
		n, bytes := 0, 0
		for n < len(waiting) && (n == 0 || bytes+len(waiting[n].data) <= roundBytesMax) {
			bytes += len(waiting[n].data)
			fn(waiting[n])
			waiting[n] = nil
			n++
		}
		if n == len(waiting) {
			delete(q.tenants, id)
			continue
		}
		q.tenants[id] = waiting[n:]
		q.order = append(q.order, id)
	}
}

// drain empties the queue, calling fn with every proposal.
func (q *fairQueue) drain(fn func(*propose)) {
	for !q.empty() {
		q.round(fn)
	}
}
