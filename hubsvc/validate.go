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
	return validateName("tenant name", op.Name)
}

func (op *DeleteTenant) validate() error { return validateTenantID(op.ID) }

func (op *TenantPurged) validate() error {
	if len(op.Document) > certificateBytesMax || len(op.Signature) > signatureBytesMax || len(op.Document) == 0 && len(op.Signature) != 0 {
		return errorf(CodeInvalidRequest, "the certificate of erasure is malformed")
	}
	return validateTenantID(op.ID)
}

func (op *CreateKey) validate() error {
	if err := op.validateKind(); err != nil {
		return err
	}
	if op.Name != "" && op.Kind != tenant.KeyService {
		if err := validateName("key name", op.Name); err != nil {
			return err
		}
	}
	if err := op.Scope.Validate(); err != nil {
		return &Error{Code: CodeInvalidRequest, Message: err.Error()}
	}
	if op.Expires < 0 {
		return errorf(CodeInvalidRequest, "a key expires before 1970")
	}
	return op.Key.validate()
}

// validateKind holds what a key is for against its kind.
func (op *CreateKey) validateKind() error {
	switch op.Kind {
	case tenant.KeyService:
		if op.Tenant != "" || op.Permission != "" || op.Scope != nil && len(op.Scope.Collections) > 0 {
			return errorf(CodeInvalidRequest, "a service's key has no tenant, no permission and no collections")
		}
		return validateWord("service name", op.Name)
	case 0, tenant.KeyTenant, tenant.KeyMCP:
		if _, ok := tenant.ParsePermission(string(op.Permission)); !ok {
			return errorf(CodeInvalidRequest, "permission is %q; must be ADMIN, READ_WRITE, READ_ONLY or MCP", op.Permission)
		}
		if op.Kind == tenant.KeyMCP && op.Permission == tenant.Admin {
			return errorf(CodeInvalidRequest, "an MCP key cannot be ADMIN")
		}
		return validateTenantID(op.Tenant)
	}
	return errorf(CodeInvalidRequest, "there is no kind %d of keys", op.Kind)
}

func (op *RevokeKey) validate() error { return validateKeyID(op.ID) }

func (k *NewKey) validate() error {
	if len(k.Prefix) > shownPrefixCharsMax {
		return errorf(CodeInvalidRequest, "the shown part of a key has %d characters; the most is %d", len(k.Prefix), shownPrefixCharsMax)
	}
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
func validateName(what, name string) error {
	if name == "" || len(name) > NameBytesMax {
		return errorf(CodeInvalidRequest, "%s must be 1 to %d bytes", what, NameBytesMax)
	}
	if !utf8.ValidString(name) {
		return errorf(CodeInvalidRequest, "%s is not UTF-8", what)
	}
	for _, r := range name {
		control := r < 0x20 || r >= 0x7f && r < 0xa0
		bidi := r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
		if control || bidi {
			return errorf(CodeInvalidRequest, "%s holds the control character %U", what, r)
		}
	}
	return nil
}
