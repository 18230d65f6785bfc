package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/tenant"
)

// The headers that tell a tenant what it has stored, and what it may store
// where there is a limit, in bytes as they count against the quota.
const (
	headerStorageUsed  = "X-Storage-Used"
	headerStorageQuota = "X-Storage-Quota"
)

// stored is what a tenant has stored when a request was answered, and what it
// may store.
type stored struct {
	Known bool   `msgpack:"k,omitempty"`
	Used  uint64 `msgpack:"u,omitempty"`
	Quota int64  `msgpack:"q,omitempty"` // below 0: no limit
}

// storedBy reads it on the node in charge: from the counters that the request
// itself has changed, if it was a write.
func (s *Server) storedBy(rt *route, tc *tenant.Context) stored {
	if rt.administers() || rt.anywhere || !tc.Valid() { // not on the node with the tenant's data
		return stored{}
	}
	used, ok := s.engine.Stored(*tc)
	return stored{Known: ok, Used: used, Quota: tc.Limits.Bytes}
}

// tell puts it into the answer.
func (s stored) tell(r *request) {
	if !s.Known {
		return
	}
	var digits [20]byte
	h := &r.http.Response.Header
	h.SetBytesV(headerStorageUsed, strconv.AppendUint(digits[:0], s.Used, 10))
	if s.Quota >= 0 {
		h.SetBytesV(headerStorageQuota, strconv.AppendInt(digits[:0], s.Quota, 10))
	}
}
