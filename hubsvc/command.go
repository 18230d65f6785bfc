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
//	0      1    version, 1; 2 with an actor
//	1      1    op
//	2      8    time, unix ms, big endian
//	10     -    version 2 only: msgpack map of the actor's fields
//	-      -    msgpack map of the op's fields, short names; unknown names are ignored
type Command struct {
	Time  int64
	Op    Op
	Actor Actor
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

	Partition *uint32 `msgpack:"p,omitempty"` // nil: that of the id
}

// DeleteTenant marks a tenant as being deleted and revokes all its keys: from
// this entry on nobody can read it. Repeating it changes nothing.
type DeleteTenant struct {
	ID tenant.ID `msgpack:"id"`
}

// TenantPurged says that the data of a tenant being deleted is gone; its
// record follows, and the certificate of what was erased stays.
type TenantPurged struct {
	ID tenant.ID `msgpack:"id"`

	Document  []byte `msgpack:"d,omitempty"` // none in the logs of old
	Signature []byte `msgpack:"s,omitempty"`
}

// CreateKey makes a key of a tenant that is not being deleted, or of a service.
type CreateKey struct {
	Tenant     tenant.ID         `msgpack:"tn"` // "" for a service's
	Permission tenant.Permission `msgpack:"pm"` // "" likewise
	Key        NewKey            `msgpack:"k"`

	Kind    tenant.KeyKind `msgpack:"kd,omitempty"` // 0: KeyTenant
	Name    string         `msgpack:"n,omitempty"`
	Scope   *tenant.Scope  `msgpack:"sc,omitempty"`
	Rates   *tenant.Rates  `msgpack:"ra,omitempty"`
	Expires int64          `msgpack:"e,omitempty"` // unix ms, 0: never
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
	if code <= 12 {
		return newClusterOp(code)
	}
	return newHubOp(code)
}

const (
	commandVersion       = 1
	commandVersionActing = 2
	commandHeader        = 10
)

// EncodeCommand returns c as a log entry.
func EncodeCommand(c Command) []byte {
	buf := bytes.NewBuffer(make([]byte, 0, 256))
	version := byte(commandVersion)
	if c.Actor != (Actor{}) {
		version = commandVersionActing
	}
	buf.Write([]byte{version, c.Op.code()})
	buf.Write(binary.BigEndian.AppendUint64(nil, uint64(c.Time)))
	e := msgpack.NewEncoder(buf)
	var err error
	if version == commandVersionActing {
		err = e.Encode(c.Actor)
	}
	if err == nil {
		err = e.Encode(c.Op)
	}
	if err != nil {
		panic(fmt.Sprintf("BUG: encode hub command %T: %v", c.Op, err)) // plain structs into memory
	}
	return buf.Bytes()
}

// DecodeCommand reads what EncodeCommand wrote.
func DecodeCommand(data []byte) (Command, error) {
	if len(data) < commandHeader {
		return Command{}, errors.New("hub command is cut off")
	}
	if data[0] != commandVersion && data[0] != commandVersionActing {
		return Command{}, fmt.Errorf("hub command of version %d, this build knows %d", data[0], commandVersionActing)
	}
	op := newOp(data[1])
	if op == nil {
		return Command{}, fmt.Errorf("hub command with unknown op %d", data[1])
	}
	c := Command{Time: int64(binary.BigEndian.Uint64(data[2:])), Op: op}
	body := bytes.NewReader(data[commandHeader:])
	d := msgpack.NewDecoder(body)
	if data[0] == commandVersionActing {
		if err := d.Decode(&c.Actor); err != nil {
			return Command{}, fmt.Errorf("decode the actor of hub command %T: %w", op, err)
		}
	}
	if err := d.Decode(op); err != nil {
		return Command{}, fmt.Errorf("decode hub command %T: %w", op, err)
	}
	if body.Len() != 0 {
		return Command{}, fmt.Errorf("hub command %T has %d bytes too many", op, body.Len())
	}
	return c, nil
}
