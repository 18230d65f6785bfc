package cluster

import (
	"math"
	"sync"
	"time"
)

// register is one point of one tenant, as the checker sees it.
type register struct {
	tenant int
	id     uint64
}

// record is one operation on one register.
type record struct {
	register
	client int
	write  bool
	// value is the stamp that was written or read; 0 = there is no such point.
	value     int64
	call, ret time.Duration // since the run began; never = its outcome is unknown
}

const never = time.Duration(math.MaxInt64)

// history is what the clients saw.
type history struct {
	began time.Time
	mu    sync.Mutex
	all   map[register][]record
	sent  map[int64]time.Duration // when a stamp was first sent
}

func newHistory() *history {
	return &history{began: time.Now(), all: map[register][]record{}, sent: map[int64]time.Duration{}}
}

func (h *history) now() time.Duration { return time.Since(h.began) }

// sending notes a stamp before it is sent for the first time.
func (h *history) sending(stamp int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[stamp] = h.now()
}

func (h *history) add(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[r.register] = append(h.all[r.register], r)
}

// registers are those that had an operation, of one tenant.
func (h *history) registers(tenant int) (all []register) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.all {
		if r.tenant == tenant {
			all = append(all, r)
		}
	}
	return all
}
