package oplog

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/hivehub/waggle/tenant"
)

var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	recordVersion = 1
	recordFixed   = 4 + 4 + 8 + 16 + 8 + 4 + 4 + 2 + 1 + 1 + 1 + texts
	texts         = 7
	// recordMax is the size of the largest record.
	recordMax  = (recordFixed + texts*255 + 7) / 8 * 8
	flagFailed = 1
)

// Where the fixed parts of a record are.
const (
	atSum      = 4
	atTime     = 8
	atID       = 16
	atDuration = 32
	atK        = 40
	atPoints   = 44
	atStatus   = 48
	atType     = 50
	atFlags    = 51
	atVersion  = 52
	atSizes    = 53
)

// textsOf are the texts of a row in their order, each as much as fits.
func textsOf(o *tenant.LoggedOperation) [texts]string {
	return [texts]string{
		clip(string(o.Tenant), tenant.LogTenantMax), clip(o.Operation, tenant.LogOperationMax), clip(o.Collection, tenant.LogCollectionMax),
		clip(o.Code, tenant.LogWordMax), clip(o.Surface, tenant.LogWordMax), clip(o.RequestID, tenant.LogWordMax), clip(string(o.Key), tenant.LogWordMax),
	}
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}

// sizeOf is the size of a record with these texts.
func sizeOf(t *[texts]string) int {
	n := recordFixed
	for _, s := range t {
		n += len(s)
	}
	return (n + 7) &^ 7
}

// putRecord writes a record into b, which is as long as it and holds zeros. The
// checksum comes last: until then there is no record.
func putRecord(b []byte, base uint32, o *tenant.LoggedOperation, t *[texts]string) {
	le.PutUint64(b[atTime:], uint64(o.Time))
	copy(b[atID:], o.ID[:])
	le.PutUint64(b[atDuration:], uint64(max(o.Duration, 0)/time.Microsecond))
	le.PutUint32(b[atK:], o.K)
	le.PutUint32(b[atPoints:], o.Points)
	le.PutUint16(b[atStatus:], o.Status)
	b[atType], b[atVersion] = byte(o.Type), recordVersion
	if o.Failed {
		b[atFlags] = flagFailed
	}
	at := recordFixed
	for i, s := range t {
		b[atSizes+i] = byte(len(s))
		at += copy(b[at:], s)
	}
	le.PutUint32(b, uint32(len(b)))
	le.PutUint32(b[atSum:], sumOf(b, base))
}

// baseOf is what the checksums of a segment's records begin with.
func baseOf(seed uint64) uint32 {
	return crc32.Update(0, castagnoli, le.AppendUint64(nil, seed))
}

// sumOf is the checksum of a record.
func sumOf(b []byte, base uint32) uint32 {
	return crc32.Update(crc32.Update(base, castagnoli, b[:atSum]), castagnoli, b[atTime:])
}

// record is a good record in a segment.
type record []byte

// recordAt returns the record that begins in b, if a good one does.
func recordAt(b []byte, base uint32) (record, bool) {
	if len(b) < recordFixed {
		return nil, false
	}
	size := le.Uint32(b)
	if size < recordFixed || size > recordMax || size%8 != 0 || int(size) > len(b) || b[atVersion] != recordVersion {
		return nil, false
	}
	b = b[:size]
	n := recordFixed
	for i := range texts {
		n += int(b[atSizes+i])
	}
	if (n+7)&^7 != int(size) || le.Uint32(b[atSum:]) != sumOf(b, base) {
		return nil, false
	}
	return b, true
}

func (r record) key() tenant.LogKey {
	return tenant.LogKey{Time: int64(le.Uint64(r[atTime:])), ID: [16]byte(r[atID : atID+16])}
}

func (r record) kind() tenant.OperationType { return tenant.OperationType(r[atType]) }

// tenant is the tenant's id, in the record's memory.
func (r record) tenant() []byte { return r[recordFixed : recordFixed+int(r[atSizes])] }

// row decodes the record into memory of its own.
func (r record) row() tenant.LoggedOperation {
	var t [texts]string
	at := recordFixed
	for i := range t {
		end := at + int(r[atSizes+i])
		t[i] = string(r[at:end])
		at = end
	}
	k := r.key()
	return tenant.LoggedOperation{
		ID: k.ID, Time: k.Time, Type: r.kind(), Failed: r[atFlags]&flagFailed != 0, Status: le.Uint16(r[atStatus:]),
		Duration: time.Duration(le.Uint64(r[atDuration:])) * time.Microsecond,
		K:        le.Uint32(r[atK:]), Points: le.Uint32(r[atPoints:]),
		Tenant: tenant.ID(t[0]), Operation: t[1], Collection: t[2], Code: t[3], Surface: t[4], RequestID: t[5], Key: tenant.KeyID(t[6]),
	}
}

// walk calls fn for every good record of a segment's bytes, from an offset on,
// until it returns false. It returns how many places it could not read, and
// where the last good record ends. Zeros at the end are no damage.
func walk(b []byte, base uint32, from int, fn func(at int, r record) bool) (damaged, end int) {
	end = from
	for at := from; at+recordFixed <= len(b); {
		r, ok := recordAt(b[at:], base)
		if !ok {
			next, found := findRecord(b, base, at+8)
			if !found {
				if !zeros(b[at:]) {
					damaged++
				}
				return damaged, end
			}
			damaged++
			at = next
			continue
		}
		if !fn(at, r) {
			return damaged, at
		}
		at += len(r)
		end = at
	}
	return damaged, end
}

// findRecord looks for the next place where a good record begins.
func findRecord(b []byte, base uint32, from int) (at int, ok bool) {
	for at = from; at+recordFixed <= len(b); at += 8 {
		if le.Uint64(b[at:]) == 0 {
			continue
		}
		if _, ok := recordAt(b[at:], base); ok {
			return at, true
		}
	}
	return 0, false
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
