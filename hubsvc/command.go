package hubsvc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/tenant"
)

// Command is one entry of the system group's log. Everything that differs from
// node to node (time, ids, hashes) is final in it, so that applying it is the
// same everywhere.
//
//	offset size
//	0      1    version, 1
//	1      1    op
//	2      8    time, unix ms, big endian
//	10     -    msgpack map of the op's fields, short names; unknown names are ignored
type Command struct {
	Time int64
	Op   Op
}

// Op is what a command does: one of the types below.
type Op interface {
	// code is the op's number in the log: append, never reorder.
	code() byte
	// validate returns the fault of an op that is wrong whatever the state is.
	validate() error
}

// Birth makes the cluster: its record and certificate authority, the shipped
// plans, the operator key, and the tenant `default` (plan enterprise) with its ADMIN key, in one entry.
type Birth struct {
	ClusterID   ClusterID `msgpack:"id"`
	Partitions  uint32    `msgpack:"p"`
	SecretSum   KeyHash   `msgpack:"ss"`
	OperatorKey NewKey    `msgpack:"ok"`
	TenantKey   NewKey    `msgpack:"tk"`

	Authority *NewAuthority `msgpack:"ca,omitempty"` // nil in the births of old
}

// NewKey is a key as its maker describes it.
type NewKey struct {
	ID     tenant.KeyID `msgpack:"id"`
	Hash   KeyHash      `msgpack:"h"`
	Prefix string       `msgpack:"px"`
	Test   bool         `msgpack:"ts"`
}

// CreateTenant makes an active tenant on a plan.
type CreateTenant struct {
	ID   tenant.ID `msgpack:"id"`
	Name string    `msgpack:"n"`
	Plan string    `msgpack:"pl"`
}

// DeleteTenant marks a tenant as being deleted and revokes all its keys: from
// this entry on nobody can read it. Repeating it changes nothing.
type DeleteTenant struct {
	ID tenant.ID `msgpack:"id"`
}

// TenantPurged says that the data of a tenant being deleted is gone; its
// record follows.
type TenantPurged struct {
	ID tenant.ID `msgpack:"id"`
}

// CreateKey makes a key of an active tenant.
type CreateKey struct {
	Tenant     tenant.ID         `msgpack:"tn"`
	Permission tenant.Permission `msgpack:"pm"`
	Key        NewKey            `msgpack:"k"`
}

// RevokeKey ends a key for good. Repeating it changes nothing.
type RevokeKey struct {
	ID tenant.KeyID `msgpack:"id"`
}

func (*Birth) code() byte        { return 1 }
func (*CreateTenant) code() byte { return 2 }
func (*DeleteTenant) code() byte { return 3 }
func (*TenantPurged) code() byte { return 4 }
func (*CreateKey) code() byte    { return 5 }
func (*RevokeKey) code() byte    { return 6 }

func newOp(code byte) Op {
	switch code {
	case 1:
		return new(Birth)
	case 2:
		return new(CreateTenant)
	case 3:
		return new(DeleteTenant)
	case 4:
		return new(TenantPurged)
	case 5:
		return new(CreateKey)
	case 6:
		return new(RevokeKey)
	}
	return newClusterOp(code)
}

const (
	commandVersion = 1
	commandHeader  = 10
)

// EncodeCommand returns c as a log entry.
func EncodeCommand(c Command) []byte {
	buf := bytes.NewBuffer(make([]byte, 0, 256))
	buf.Write([]byte{commandVersion, c.Op.code()})
	buf.Write(binary.BigEndian.AppendUint64(nil, uint64(c.Time)))
	if err := msgpack.NewEncoder(buf).Encode(c.Op); err != nil {
		panic(fmt.Sprintf("BUG: encode hub command %T: %v", c.Op, err)) // plain structs into memory
	}
	return buf.Bytes()
}

// DecodeCommand reads what EncodeCommand wrote.
func DecodeCommand(data []byte) (Command, error) {
	if len(data) < commandHeader {
		return Command{}, errors.New("hub command is cut off")
	}
	if data[0] != commandVersion {
		return Command{}, fmt.Errorf("hub command of version %d, this build knows %d", data[0], commandVersion)
	}
	op := newOp(data[1])
	if op == nil {
		return Command{}, fmt.Errorf("hub command with unknown op %d", data[1])
	}
	body := bytes.NewReader(data[commandHeader:])
	if err := msgpack.NewDecoder(body).Decode(op); err != nil {
		return Command{}, fmt.Errorf("decode hub command %T: %w", op, err)
	}
	if body.Len() != 0 {
		return Command{}, fmt.Errorf("hub command %T has %d bytes too many", op, body.Len())
	}
	return Command{Time: int64(binary.BigEndian.Uint64(data[2:])), Op: op}, nil
}
