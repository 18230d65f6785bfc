package tenant

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
)

// AuditEntry is one row of the audit log. Rows are ordered by Time, Index and
// Ordinal.
type AuditEntry struct {
	Index   uint64 `msgpack:"i"` // log index of the entry that wrote it
	Ordinal uint16 `msgpack:"n"` // among the rows of that entry
	Time    int64  `msgpack:"t"` // unix ms

	Tenant    ID     `msgpack:"tn,omitempty"` // "" for what concerns none
	Actor     string `msgpack:"a,omitempty"`  // a key's id, service:NAME, operator or system
	Address   string `msgpack:"ip,omitempty"`
	RequestID string `msgpack:"r,omitempty"`
	Action    string `msgpack:"ac"`
	Target    string `msgpack:"tg,omitempty"` // a tenant's, plan's or key's id; of a key that failed, its shown prefix
	Outcome   string `msgpack:"o"`            // ok or refused
	Detail    string `msgpack:"d,omitempty"`

	// Of attempts to authenticate, which come in batches.
	Count uint32 `msgpack:"c,omitempty"`
	First int64  `msgpack:"f,omitempty"` // unix ms
	Last  int64  `msgpack:"l,omitempty"`

	// Chain is SHA-256 of the Chain of the row before it in its pool and of this
	// row: see ChainAudit and VerifyAudit.
	Chain []byte `msgpack:"h,omitempty"`
}

// The actions that decide to which pool a row belongs, and that of the row that
// stands in place of older ones.
const (
	AuditAuthFailure = "auth.failure"
	AuditAuthSuccess = "auth.success"
	AuditTrimmed     = "audit.trimmed"
)

// AuditStrangers is the pool of what concerns no tenant and tells of keys: what
// strangers do must not push out what operators did.
const AuditStrangers = "?"

// auditVersion is the first byte of a row as it is summed.
const auditVersion = 1

// Pool names the rows that share a limit and a chain: the tenant's, those of
// no tenant (""), or AuditStrangers.
func (e *AuditEntry) Pool() string {
	if e.Tenant == "" && (e.Action == AuditAuthFailure || e.Action == AuditAuthSuccess) {
		return AuditStrangers
	}
	return string(e.Tenant)
}

// ID is the row's name in lists.
func (e *AuditEntry) ID() string {
	return strconv.FormatUint(e.Index, 10) + "." + strconv.FormatUint(uint64(e.Ordinal), 10)
}

// SetID sets what ID told.
func (e *AuditEntry) SetID(id string) error {
	index, ordinal, ok := strings.Cut(id, ".")
	i, err := strconv.ParseUint(index, 10, 64)
	n, err2 := strconv.ParseUint(ordinal, 10, 16)
	if !ok || err != nil || err2 != nil {
		return fmt.Errorf("%q is not the id of an audit row", id)
	}
	e.Index, e.Ordinal = i, uint16(n)
	return nil
}

// ChainAudit returns the Chain of a row that follows one with the Chain before;
// nil before the first of a pool. What is summed is before, the byte 1, and the
// row without its Chain as a map of MessagePack by the tags of AuditEntry.
func ChainAudit(before []byte, e *AuditEntry) []byte {
	bare := *e
	bare.Chain = nil
	b, err := msgpack.Marshal(bare)
	if err != nil {
		panic("BUG: an audit row without an encoding: " + err.Error()) // a plain struct into memory
	}
	h := sha256.New()
	h.Write(before) // a hash never fails
	h.Write([]byte{auditVersion})
	h.Write(b)
	return h.Sum(nil)
}

// AuditHead is where the chain of a pool ends.
type AuditHead struct {
	Pool  string `json:"pool"`
	Rows  int    `json:"rows"`
	ID    string `json:"last_id"` // of the last row
	Chain string `json:"chain"`   // in hexadecimal digits
	// Begun says that the chain was followed from the first row that there ever
	// was; else the first row of the list has been taken as it is.
	Begun bool `json:"from_first_row"`
}

// AuditFault is where a chain breaks.
type AuditFault struct {
	At   int // in the list
	ID   string
	Pool string
}

// Error says what it means.
func (f *AuditFault) Error() string {
	pool := "tenant " + f.Pool
	switch f.Pool {
	case "":
		pool = "no tenant"
	case AuditStrangers:
		pool = "keys of no tenant"
	}
	return fmt.Sprintf("row %d of the list, %s, of %s, does not follow from the one before it: it was changed, or rows before it were changed, taken away, added or put elsewhere", f.At+1, f.ID, pool)
}

// VerifyAudit follows the chains of rows: all rows of one tenant, or of all, in
// their order from some point on. It returns where each chain ends, by the
// order of their first rows, or the first row that does not follow. A row
// that says that older ones have gone lets every chain begin anywhere; whoever
// wants to be sure of more compares the heads with those that he noted before.
func VerifyAudit(rows []AuditEntry) ([]AuditHead, error) {
	var heads []AuditHead
	at, last, trimmed := map[string]int{}, map[string][]byte{}, false
	for i := range rows {
		e := &rows[i]
		if e.Action == AuditTrimmed && e.Index == 0 && len(e.Chain) == 0 && i == 0 {
			trimmed = true // it is no row of the log
			continue
		}
		pool := e.Pool()
		n, known := at[pool]
		begins := bytes.Equal(e.Chain, ChainAudit(last[pool], e))
		if !begins && (known || !trimmed) || len(e.Chain) != sha256.Size {
			return heads, &AuditFault{i, e.ID(), pool}
		}
		if !known {
			n = len(heads)
			at[pool] = n
			heads = append(heads, AuditHead{Pool: pool, Begun: begins})
		}
		last[pool] = e.Chain
		heads[n].Rows++
		heads[n].ID, heads[n].Chain = e.ID(), hex.EncodeToString(e.Chain)
	}
	return heads, nil
}
