package hubsvc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// Erasure is what a certificate of erasure says.
type Erasure struct {
	ClusterID   string    `json:"cluster_id"`
	TenantID    tenant.ID `json:"tenant_id"`
	TenantName  string    `json:"tenant_name"`
	DeletedAt   string    `json:"deleted_at,omitempty"` // RFC 3339; when the last key ended
	PurgedAt    string    `json:"purged_at"`            // RFC 3339; when the last row had gone
	Collections uint64    `json:"collections"`
	Points      uint64    `json:"points"`
	Bytes       uint64    `json:"bytes"`
}

// Certificate proves to whoever knows the cluster's authority what was erased.
type Certificate struct {
	Document    string `json:"document"`    // an Erasure as JSON; the signature is over these very bytes
	Signature   []byte `json:"signature"`   // see erasureDigest
	Certificate string `json:"certificate"` // of the authority, PEM
}

// erasureContext begins what is signed, so that the signature is good for
// nothing else that the authority signs, certificates above all.
const erasureContext = "waggle certificate of erasure 1\n"

// erasureDigest is what is signed, by ECDSA, ASN.1: SHA-256 of erasureContext
// and the document.
func erasureDigest(document []byte) []byte {
	sum := sha256.Sum256(append([]byte(erasureContext), document...))
	return sum[:]
}

// TenantPurged removes the records of a deleted tenant whose data is gone, and
// leaves a signed certificate of what it was.
func (e *Embedded) TenantPurged(ctx context.Context, id tenant.ID, erased Erased) error {
	t, err := e.Tenant(ctx, id)
	if err != nil {
		return wrap(err, "tenant purged")
	}
	op := &TenantPurged{ID: id}
	if op.Document, op.Signature, err = e.certify(t, erased); err != nil {
		return wrap(err, "certify the erasure")
	}
	_, err = propose[Tenant](ctx, e, op)
	return wrap(err, "tenant purged")
}

// certify makes a document and signs it. A cluster of old, which has no
// authority, leaves it unsigned.
func (e *Embedded) certify(t Tenant, erased Erased) (document, signature []byte, err error) {
	cluster, _ := e.Cluster()
	d := Erasure{
		ClusterID: cluster.ID.String(), TenantID: t.ID, TenantName: t.Name, PurgedAt: certificateTime(e.now().UnixMilli()),
		Collections: erased.Collections, Points: erased.Points, Bytes: erased.Bytes,
	}
	if t.Deleted != 0 {
		d.DeletedAt = certificateTime(t.Deleted)
	}
	if document, err = json.Marshal(d); err != nil {
		panic(fmt.Sprintf("BUG: encode a certificate of erasure: %v", err)) // a plain struct
	}
	a := e.Topology().authority
	if a == nil {
		return document, nil, nil
	}
	signature, err = a.signDocument(e.sealing, document)
	return document, signature, err
}

func certificateTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

func (a *authority) signDocument(sealing, document []byte) ([]byte, error) {
	key, err := a.key(sealing)
	if err != nil {
		return nil, err
	}
	signature, err := key.Sign(rand.Reader, erasureDigest(document), crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	return signature, nil
}

// Erasure returns the certificate of a tenant that is gone, or NOT_FOUND.
func (e *Embedded) Erasure(ctx context.Context, id tenant.ID) (Certificate, error) {
	r, err := read(ctx, e, func(r Reader) (erasureRecord, error) {
		rec, ok, err := get[erasureRecord](r, recordKey(tagErasure, id))
		if err == nil && !ok {
			err = errorf(CodeNotFound, "there is no certificate of erasure of tenant %s", id)
		}
		return rec, err
	})
	if err != nil {
		return Certificate{}, wrap(err, "show the certificate of erasure")
	}
	c := Certificate{Document: string(r.Document), Signature: r.Signature}
	if der, ok := e.CACertificate(); ok {
		c.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return c, nil
}

// VerifyErasure checks that the authority has signed c, and returns what it
// says. The authority is the caller's own knowledge, not what c brings along.
// The error is FAILED_PRECONDITION.
func VerifyErasure(c Certificate, authority *x509.Certificate) (Erasure, error) {
	key, ok := authority.PublicKey.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(key, erasureDigest([]byte(c.Document)), c.Signature) {
		return Erasure{}, errorf(CodeFailedPrecondition, "the certificate of erasure is not signed by this cluster's authority")
	}
	var d Erasure
	if err := json.Unmarshal([]byte(c.Document), &d); err != nil {
		return Erasure{}, &Error{Code: CodeFailedPrecondition, Message: "the certificate of erasure cannot be read", Err: err}
	}
	return d, nil
}
