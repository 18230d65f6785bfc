package tenant

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// OperationLog is one row of the operation log on the wire: what was asked, by
// whom, and how it went. It never holds data of the tenant: no payload, vector,
// text or key.
type OperationLog struct {
	OperationID string            `json:"operation_id"` // a UUID; a row that was sent twice has one
	Tenant      ID                `json:"tenant_id"`
	Operation   string            `json:"operation"`      // the route, or the tool
	Type        string            `json:"operation_type"` // listcollections, insert, search, ...
	Collection  string            `json:"collection,omitempty"`
	Timestamp   int64             `json:"timestamp"` // Unix milliseconds: when it was answered
	DurationMS  float64           `json:"duration_ms"`
	Success     bool              `json:"success"`
	Error       string            `json:"error,omitempty"`    // its code
	Metadata    map[string]string `json:"metadata,omitempty"` // see LoggedOperation.Entry
}

// LoggedOperation is one row as a node keeps it. Making and keeping one costs no
// allocation: the texts are those of the route table and of the request.
type LoggedOperation struct {
	ID         [16]byte      `msgpack:"i"`
	Tenant     ID            `msgpack:"t,omitempty"` // "": the operator's
	Operation  string        `msgpack:"o"`
	Type       OperationType `msgpack:"y"`
	Collection string        `msgpack:"c,omitempty"`
	Time       int64         `msgpack:"m"` // Unix milliseconds: when it was answered
	Duration   time.Duration `msgpack:"d"`
	Failed     bool          `msgpack:"f,omitempty"`
	Code       string        `msgpack:"e,omitempty"` // of the error
	Status     uint16        `msgpack:"s,omitempty"` // of the answer
	Surface    string        `msgpack:"u,omitempty"`
	RequestID  string        `msgpack:"r,omitempty"`
	Key        KeyID         `msgpack:"k,omitempty"` // by which key; its id is public
	K          uint32        `msgpack:"n,omitempty"` // how many hits were asked for
	Points     uint32        `msgpack:"p,omitempty"` // how many points were sent
}

// Bounds of one row.
const (
	LogOperationMax  = 128
	LogCollectionMax = 255
	LogWordMax       = 64 // of a code, a surface, the id of a request or key
	LogTenantMax     = 63
	logDurationMax   = 7 * 24 * time.Hour
)

// LogBatchMax is how many rows are sent to a hub at a time.
const LogBatchMax = 1000

// LogPageMax is how many rows one page of a query has at most.
const LogPageMax = 1000

// LogKey is the place of a row in the order of the log: by time, then by id.
type LogKey struct {
	Time int64    `msgpack:"m"`
	ID   [16]byte `msgpack:"i"`
}

// LogKey is the place of the row.
func (o *LoggedOperation) LogKey() LogKey { return LogKey{o.Time, o.ID} }

// Compare orders two places.
func (k LogKey) Compare(other LogKey) int {
	switch {
	case k.Time < other.Time:
		return -1
	case k.Time > other.Time:
		return 1
	}
	return bytes.Compare(k.ID[:], other.ID[:])
}

// Cursor is the place as a text that ParseLogCursor reads.
func (k LogKey) Cursor() string {
	return strconv.FormatInt(k.Time, 10) + "." + hex.EncodeToString(k.ID[:])
}

// ParseLogCursor reads what Cursor wrote.
func ParseLogCursor(s string) (LogKey, error) {
	var k LogKey
	at, id, ok := bytes.Cut([]byte(s), []byte("."))
	ms, err := strconv.ParseInt(string(at), 10, 64)
	if !ok || err != nil || ms < 0 || len(id) != 2*len(k.ID) {
		return LogKey{}, errors.New("must be the next_cursor of an answer")
	}
	k.Time = ms
	if _, err := hex.Decode(k.ID[:], id); err != nil {
		return LogKey{}, errors.New("must be the next_cursor of an answer")
	}
	return k, nil
}

// LogQuery selects rows of one tenant, or of the operator for "".
type LogQuery struct {
	Tenant ID            `msgpack:"t"`
	Type   OperationType `msgpack:"y,omitempty"` // 0: all
	From   int64         `msgpack:"f,omitempty"` // Unix milliseconds, inclusive
	To     int64         `msgpack:"o,omitempty"` // exclusive; 0: no end
	After  LogKey        `msgpack:"a"`           // only what is behind; zero: from the beginning
	Limit  int           `msgpack:"l"`           // 1 to LogPageMax
}

// Selects reports whether the query is about a row with these values.
func (q *LogQuery) Selects(t OperationType, k LogKey) bool {
	return (q.Type == 0 || q.Type == t) && k.Time >= q.From && (q.To == 0 || k.Time < q.To) && k.Compare(q.After) > 0
}

// The members of a row's metadata, all there are.
const (
	metaStatus, metaSurface, metaRequest, metaKey = "status", "surface", "request_id", "key_id"
	metaK, metaPoints, metaCode                   = "k", "points", "code"
)

// Entry is the row on the wire. Its metadata has what is known of: status,
// surface, request_id, key_id, k, points.
func (o *LoggedOperation) Entry() OperationLog {
	e := OperationLog{
		OperationID: uuidText(o.ID), Tenant: o.Tenant, Operation: o.Operation, Type: o.Type.String(), Collection: o.Collection,
		Timestamp: o.Time, DurationMS: float64(o.Duration/time.Microsecond) / 1000, Success: !o.Failed, Error: o.Code, Metadata: map[string]string{},
	}
	for name, text := range map[string]string{metaSurface: o.Surface, metaRequest: o.RequestID, metaKey: string(o.Key)} {
		if text != "" {
			e.Metadata[name] = text
		}
	}
	for name, n := range map[string]uint64{metaStatus: uint64(o.Status), metaK: uint64(o.K), metaPoints: uint64(o.Points)} {
		if n != 0 {
			e.Metadata[name] = strconv.FormatUint(n, 10)
		}
	}
	return e
}

// LogAheadMax is how far a row's time may be ahead of the clock of who takes it.
const LogAheadMax = 24 * time.Hour

// ErrLogAhead says that a row's time is too far ahead: one of two clocks is
// wrong, and not the row.
var ErrLogAhead = errors.New("timestamp: is in the future by the clock here; set the clocks and send it again")

// Logged is the row as a node keeps it, or what is wrong with it. now is the
// time here: a row of tomorrow is ErrLogAhead.
func (e *OperationLog) Logged(now time.Time) (LoggedOperation, error) {
	o := LoggedOperation{
		Tenant: e.Tenant, Operation: e.Operation, Collection: e.Collection, Time: e.Timestamp, Failed: !e.Success, Code: e.Error,
	}
	var ok bool
	if o.ID, ok = parseUUID(e.OperationID); !ok {
		return o, errors.New("operation_id: must be a UUID")
	}
	if _, err := ParseID(string(e.Tenant)); err != nil {
		return o, errors.New("tenant_id: must be the id of a tenant")
	}
	if o.Type, ok = ParseOperationType(e.Type); !ok {
		return o, errors.New("operation_type: is none of the known ones")
	}
	if e.Operation == "" || len(e.Operation) > LogOperationMax || !IsLogText(e.Operation) {
		return o, fmt.Errorf("operation: must be 1 to %d bytes of text", LogOperationMax)
	}
	if len(e.Collection) > LogCollectionMax || !IsLogText(e.Collection) {
		return o, fmt.Errorf("collection: must be at most %d bytes of text", LogCollectionMax)
	}
	if e.Timestamp <= 0 || e.Timestamp > now.Add(LogAheadMax).UnixMilli() {
		if e.Timestamp > 0 {
			return o, ErrLogAhead
		}
		return o, errors.New("timestamp: must be milliseconds since 1970")
	}
	if math.IsNaN(e.DurationMS) || e.DurationMS < 0 || e.DurationMS > float64(logDurationMax/time.Millisecond) {
		return o, errors.New("duration_ms: must be 0 to a week")
	}
	o.Duration = time.Duration(math.Round(e.DurationMS*1000)) * time.Microsecond
	if !isLogWord(e.Error) || e.Success && e.Error != "" {
		return o, fmt.Errorf("error: must be a code of at most %d letters, digits, - . and _, and of a failure", LogWordMax)
	}
	return o, o.takeMetadata(e.Metadata)
}

func (o *LoggedOperation) takeMetadata(given map[string]string) error {
	for name, text := range given {
		var err error
		switch name {
		case metaSurface, metaRequest, metaKey, metaCode:
			if !isLogWord(text) {
				err = errors.New("not a word")
			}
		default:
			_, err = strconv.ParseUint(text, 10, 32)
		}
		n, _ := strconv.ParseUint(text, 10, 32)
		switch name {
		case metaSurface:
			o.Surface = text
		case metaRequest:
			o.RequestID = text
		case metaKey:
			o.Key = KeyID(text)
		case metaCode:
		case metaStatus:
			if n > 999 {
				err = errors.New("not a status")
			}
			o.Status = uint16(min(n, 999))
		case metaK:
			o.K = uint32(n)
		case metaPoints:
			o.Points = uint32(n)
		default:
			return errors.New("metadata: only status, code, k, points, surface, request_id and key_id may be there")
		}
		if err != nil {
			return errors.New("metadata." + name + ": is too long, or not of the right form")
		}
	}
	return nil
}

// IsLogText reports whether a text may stand in a row: UTF-8 without control
// characters.
func IsLogText(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || unicode.IsControl(r) {
			return false
		}
		i += n
	}
	return true
}

func isLogWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return len(s) <= LogWordMax
}

// uuidText writes 8-4-4-4-12 digits.
func uuidText(id [16]byte) string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

func parseUUID(s string) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	digits := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	_, err := hex.Decode(id[:], []byte(digits))
	return id, err == nil && id != [16]byte{}
}

// SortLog brings rows into the order of the log, and leaves each one there once.
func SortLog(rows []LoggedOperation) []LoggedOperation {
	slices.SortStableFunc(rows, func(a, b LoggedOperation) int { return a.LogKey().Compare(b.LogKey()) })
	return slices.CompactFunc(rows, func(a, b LoggedOperation) bool { return a.LogKey() == b.LogKey() && a.Tenant == b.Tenant })
}

// LogPage is a page of rows, by LogKey.
type LogPage struct {
	Rows []LoggedOperation `msgpack:"r"`
	More bool              `msgpack:"m,omitempty"` // behind the last row
	Away []string          `msgpack:"a,omitempty"` // nodes that did not answer: their rows are missing
}
