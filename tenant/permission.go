package tenant

// Permission is what a key is for. The values are the words on the wire.
type Permission string

// The permissions of CONTRACT's table, from most to least.
const (
	Admin     Permission = "ADMIN"
	ReadWrite Permission = "READ_WRITE"
	ReadOnly  Permission = "READ_ONLY"
	MCP       Permission = "MCP"
)

// ParsePermission returns the permission that s is the word of.
func ParsePermission(s string) (Permission, bool) {
	switch p := Permission(s); p {
	case Admin, ReadWrite, ReadOnly, MCP:
		return p, true
	}
	return "", false
}

// Operation is one row of the permission table. Each route names exactly one.
type Operation uint8

// The rows. OpPublic needs no key. No permission of a tenant grants OpOperator,
// which needs the node's operator key, or OpService, which needs that or a
// service's. OpSelf is what a key may know about itself: any key may. OpUsage is
// OpOwnUsage, and the operator may ask it about anyone.
const (
	OpPublic Operation = iota + 1
	OpRead
	OpWrite
	OpDeletePoints
	OpManageCollections
	OpBackup
	OpDownload
	OpUpload
	OpAdmin
	OpOperator
	OpOwnUsage
	OpService
	OpSelf
	OpUsage
)

// Allowed reports whether a key with permission p may do op.
func Allowed(p Permission, op Operation) bool {
	switch op {
	case OpPublic:
		return true
	case OpRead, OpSelf:
		return p == Admin || p == ReadWrite || p == ReadOnly || p == MCP
	case OpWrite:
		return p == Admin || p == ReadWrite || p == MCP
	case OpDeletePoints, OpManageCollections, OpBackup, OpUpload:
		return p == Admin || p == ReadWrite
	case OpDownload, OpOwnUsage, OpUsage:
		return p == Admin || p == ReadWrite || p == ReadOnly
	case OpAdmin:
		return p == Admin
	case OpOperator, OpService:
		return false
	}
	return false
}
