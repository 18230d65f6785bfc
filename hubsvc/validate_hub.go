package hubsvc

import (
	"github.com/hivehub/waggle/tenant"
)

// The limits of the hub's tables.
const (
	TenantsMax          = 100_000
	PlansMax            = 100
	PlanNameBytesMax    = 63
	ServiceNameBytesMax = 63
	KeyNameBytesMax     = 255
	RotationGraceMaxMs  = 90 * 24 * 3600 * 1000
	AuditRowsMax        = 100_000 // in all
	AuditRowsTenantMax  = 10_000
	AuthSeenMax         = 256 // in one command
	EventsMax           = 10_000
	NonceBytesMin       = 16
	NonceBytesMax       = 64
	NonceKeptMs         = 720 * 1000 // the life of a signature, and what clocks of nodes may differ by: see collection's
	NoncesMax           = 100_000
	CollectionsInOneMax = 256    // records in one command
	deletedRecordsMax   = 10_000 // of one tenant's deleted collections
	CertificatesMax     = 100_000
	addressTextBytesMax = 64
	requestIDBytesMax   = 128
	reasonBytesMax      = 64
	certificateBytesMax = 4 << 10
	signatureBytesMax   = 256
	collectionNameMax   = 255
	sweptRowsPurge      = 2_000 // deleted with the tenant's record
	sweptRowsEntry      = 100   // deleted by every later entry, until all are gone
	sweptNoncesEntry    = 8
	shownPrefixCharsMax = 12
	tenantlessAuthPool  = tenant.AuditStrangers
)

func (c *Command) validate() error {
	if err := c.Actor.validate(); err != nil {
		return err
	}
	return c.Op.validate()
}

func (a *Actor) validate() error {
	for _, f := range []struct {
		what, text string
		most       int
	}{
		{"key id", string(a.KeyID), KeyIDBytesMax},
		{"service", a.Service, ServiceNameBytesMax},
		{"address", a.Address, addressTextBytesMax},
		{"request id", a.RequestID, requestIDBytesMax},
	} {
		if err := validateShort("the actor's "+f.what, f.text, f.most); err != nil {
			return err
		}
	}
	if a.Nonce == "" {
		return nil
	}
	if a.Service == "" {
		return errorf(CodeInvalidRequest, "a nonce without a service")
	}
	return validateNonce(a.Nonce)
}

// validateShort accepts printable ASCII of at most so many bytes, and "".
func validateShort(what, text string, most int) error {
	if len(text) > most {
		return errorf(CodeInvalidRequest, "%s has %d bytes; the most is %d", what, len(text), most)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return errorf(CodeInvalidRequest, "%s holds a character that is not printable ASCII", what)
		}
	}
	return nil
}

func validateNonce(nonce string) error {
	ok := len(nonce) >= NonceBytesMin && len(nonce) <= NonceBytesMax
	for i := 0; ok && i < len(nonce); i++ {
		c := nonce[i]
		ok = c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '-'
	}
	if !ok {
		return errorf(CodeInvalidRequest, "a nonce must be %d to %d of [A-Za-z0-9_-]", NonceBytesMin, NonceBytesMax)
	}
	return nil
}

// validateWord accepts the form of a tenant's id, for plans and services.
func validateWord(what, word string) error {
	if _, err := tenant.ParseID(word); err != nil {
		return errorf(CodeInvalidRequest, "%s must be 1 to %d of [a-z0-9_-] and begin with a letter or digit", what, tenant.IDBytesMax)
	}
	return nil
}

func (op *SetTenantStatus) validate() error {
	if op.Status != Active && op.Status != Suspended {
		return errorf(CodeInvalidRequest, "a tenant's status is set to active or suspended")
	}
	return validateTenantID(op.ID)
}

func (op *SetTenantPlan) validate() error {
	if err := validateWord("plan name", op.Plan); err != nil {
		return err
	}
	return validateTenantID(op.ID)
}

func (op *PutPlan) validate() error    { return validateWord("plan name", op.Plan.Name) }
func (op *DeletePlan) validate() error { return validateWord("plan name", op.Name) }

func (op *RotateKey) validate() error {
	if op.Grace < 0 || op.Grace > RotationGraceMaxMs {
		return errorf(CodeInvalidRequest, "the grace time of a rotation is %d ms; must be 0 to 90 days", op.Grace)
	}
	if err := validateKeyID(op.ID); err != nil {
		return err
	}
	return op.Key.validate()
}

func (op *RecordAuth) validate() error {
	if len(op.Seen) == 0 || len(op.Seen) > AuthSeenMax {
		return errorf(CodeInvalidRequest, "%d records of authentication; must be 1 to %d", len(op.Seen), AuthSeenMax)
	}
	for i := range op.Seen {
		if err := op.Seen[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

func (s *AuthSeen) validate() error {
	if s.Tenant != "" {
		if err := validateTenantID(s.Tenant); err != nil {
			return err
		}
	}
	if s.Count == 0 || s.First < 0 || s.Last < s.First {
		return errorf(CodeInvalidRequest, "a record of authentication without a count, or with times out of order")
	}
	if err := validateShort("key id", string(s.KeyID), KeyIDBytesMax); err != nil {
		return err
	}
	if err := validateShort("key prefix", s.KeyPrefix, shownPrefixCharsMax); err != nil {
		return err
	}
	if err := validateShort("address", s.Address, addressTextBytesMax); err != nil {
		return err
	}
	return validateShort("reason", s.Reason, reasonBytesMax)
}

func (op *RecordCollections) validate() error {
	if len(op.Records) == 0 || len(op.Records) > CollectionsInOneMax {
		return errorf(CodeInvalidRequest, "%d collection records; must be 1 to %d", len(op.Records), CollectionsInOneMax)
	}
	for _, r := range op.Records {
		if err := validateTenantID(r.Tenant); err != nil {
			return err
		}
		if r.Name == "" || len(r.Name) > collectionNameMax || r.Created < 0 || r.Deleted < 0 {
			return errorf(CodeInvalidRequest, "the record of collection %d is malformed", r.Collection)
		}
	}
	return nil
}
