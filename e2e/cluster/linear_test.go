package cluster

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// registerModel is a point that is written and read.
var registerModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		r := input.(record)
		if r.write {
			return true, r.value
		}
		return state.(int64) == r.value, state
	},
	DescribeOperation: func(input, output any) string { return input.(record).String() },
}

func (r record) String() string {
	verb, end := "reads", fmt.Sprintf("%.6f", r.ret.Seconds())
	if r.write {
		verb = "writes"
	}
	if r.ret == never {
		end = "never"
	}
	return fmt.Sprintf("%.6f-%s client %d %s %d", r.call.Seconds(), end, r.client, verb, r.value)
}

// linear holds every register's operations against the model and returns how
// many registers were decided.
func (h *history) linear(found *findings, within time.Duration) (decided int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	deadline := time.Now().Add(within)
	for reg, records := range h.all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ok, fault := h.check(records, max(time.Until(deadline), time.Second))
			mu.Lock()
			defer mu.Unlock()
			if ok {
				decided++
			}
			if fault != "" {
				found.add("point %d of tenant %d: %s", reg.id, reg.tenant, fault)
			}
		})
	}
	wg.Wait()
	return decided
}

// check decides one register; fault says what is wrong with it.
func (h *history) check(records []record, within time.Duration) (decided bool, fault string) {
	records, fault = h.bounded(records)
	if fault != "" {
		return true, fault
	}
	operations := make([]porcupine.Operation, 0, len(records))
	for _, r := range records {
		operations = append(operations, porcupine.Operation{ClientId: r.client, Input: r, Call: int64(r.call), Output: r.value, Return: int64(r.ret)})
	}
	switch porcupine.CheckOperationsTimeout(registerModel, operations, within) {
	case porcupine.Ok:
		return true, ""
	case porcupine.Unknown:
		return false, fmt.Sprintf("%d operations could not be decided within %v", len(records), within)
	}
	slices.SortFunc(records, func(a, b record) int { return int(a.call - b.call) })
	lines := make([]string, len(records))
	for i, r := range records {
		lines[i] = r.String()
	}
	return true, "no order explains its operations:\n    " + strings.Join(lines, "\n    ")
}

// bounded gives writes of unknown outcome an end, which keeps the search
// small: one whose value was read took effect before the first read of it
// returned, and one whose value nobody ever read may as well never have. A
// deletion leaves nothing that tells whose it is, so it stays open. A value
// that was read before anybody sent it is a fault at once.
func (h *history) bounded(records []record) (kept []record, fault string) {
	read := map[int64]time.Duration{} // the first return of a read of it
	for _, r := range records {
		if r.write || r.value == 0 {
			continue
		}
		if first, ok := read[r.value]; !ok || r.ret < first {
			read[r.value] = r.ret
		}
		if sent, ok := h.sent[r.value]; !ok || r.ret < sent {
			return nil, fmt.Sprintf("%v, which nobody has sent by then", r)
		}
	}
	for _, r := range records {
		if first, ok := read[r.value]; r.write && r.ret == never && r.value != 0 {
			if !ok {
				continue
			}
			r.ret = max(first, r.call)
		}
		kept = append(kept, r)
	}
	return kept, ""
}
