package hubsvc

import (
	"unicode/utf8"

	"github.com/hivehub/waggle/tenant"
)

// The limits of this package.
const (
	PartitionsMin    = 16
	PartitionsMax    = 1024
	NameBytesMax     = 255
	KeyIDBytesMax    = 64
	KeysPerTenantMax = 1000 // records, revoked ones included
)

func (op *Birth) validate() error {
	if op.ClusterID == (ClusterID{}) {
		return errorf(CodeInvalidRequest, "cluster id is zero")
	}
	if op.Partitions < PartitionsMin || op.Partitions > PartitionsMax {
		return errorf(CodeInvalidRequest, "partitions is %d; must be %d to %d", op.Partitions, PartitionsMin, PartitionsMax)
	}
	if err := op.OperatorKey.validate(); err != nil {
		return err
	}
	if err := op.TenantKey.validate(); err != nil {
		return err
	}
	if op.Authority != nil {
		if err := op.Authority.validate(); err != nil {
			return err
		}
	}
	if op.OperatorKey.ID == op.TenantKey.ID || op.OperatorKey.Hash == op.TenantKey.Hash {
		return errorf(CodeInvalidRequest, "the operator key and the tenant key are the same")
	}
	return nil
}

func (op *CreateTenant) validate() error {
	if err := validateTenantID(op.ID); err != nil {
		return err
	}
	return validateName(op.Name)
}

func (op *DeleteTenant) validate() error { return validateTenantID(op.ID) }
func (op *TenantPurged) validate() error { return validateTenantID(op.ID) }

func (op *CreateKey) validate() error {
	if err := validateTenantID(op.Tenant); err != nil {
		return err
	}
	if _, ok := tenant.ParsePermission(string(op.Permission)); !ok {
		return errorf(CodeInvalidRequest, "permission is %q; must be ADMIN, READ_WRITE, READ_ONLY or MCP", op.Permission)
	}
	return op.Key.validate()
}

func (op *RevokeKey) validate() error { return validateKeyID(op.ID) }

func (k *NewKey) validate() error {
	if k.Hash == (KeyHash{}) {
		return errorf(CodeInvalidRequest, "key hash is zero")
	}
	return validateKeyID(k.ID)
}

func validateTenantID(id tenant.ID) error {
	if _, err := tenant.ParseID(string(id)); err != nil {
		return &Error{Code: CodeInvalidRequest, Message: err.Error()}
	}
	return nil
}

func validateKeyID(id tenant.KeyID) error {
	if id == "" || len(id) > KeyIDBytesMax {
		return errorf(CodeInvalidRequest, "key id must be 1 to %d bytes", KeyIDBytesMax)
	}
	return nil
}

// validateName names its characters one by one rather than ask the unicode
// tables: apply must decide alike on nodes built with different Go versions.
func validateName(name string) error {
	if name == "" || len(name) > NameBytesMax {
		return errorf(CodeInvalidRequest, "tenant name must be 1 to %d bytes", NameBytesMax)
	}
	if !utf8.ValidString(name) {
		return errorf(CodeInvalidRequest, "tenant name is not UTF-8")
	}
	for _, r := range name {
		control := r < 0x20 || r >= 0x7f && r < 0xa0
		bidi := r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
		if control || bidi {
			return errorf(CodeInvalidRequest, "tenant name holds the control character %U", r)
		}
	}
	return nil
}
