package hubsvc

import "github.com/hivehub/waggle/tenant"

// The writes of records: each keeps a record, its indexes and the Change alike.

func (a *apply) tenant(id tenant.ID) (Tenant, error) { return tenantOf(a.tx, id) }

// mustBeFree refuses the entry when something is stored at key.
func (a *apply) mustBeFree(key []byte, format string, args ...any) error {
	value, err := a.tx.Get(Bucket, key)
	if err == nil && value != nil {
		err = errorf(CodeAlreadyExists, format, args...)
	}
	return err
}

func (a *apply) putTenant(t Tenant) error {
	a.change.Tenants = append(a.change.Tenants, t)
	return a.tx.Put(Bucket, recordKey(tagTenant, t.ID), encodeRecord(t))
}

// putNewKey completes k with what its maker said and stores it.
func (a *apply) putNewKey(k Key, n NewKey) error {
	k.ID, k.Hash, k.Prefix, k.Test = n.ID, n.Hash, n.Prefix, n.Test
	k.Rotated, k.Next = 0, ""
	k.Created, k.Index = a.now, a.change.Index
	if err := a.mustBeFree(recordKey(tagKey, k.ID), "key %s already exists", k.ID); err != nil {
		return err
	}
	if err := a.mustBeFree(hashKey(k.Hash), "a key equal to key %s already exists", k.ID); err != nil {
		return err
	}
	if err := a.tx.Put(Bucket, hashKey(k.Hash), []byte(k.ID)); err != nil {
		return err
	}
	if err := a.tx.Put(Bucket, tenantKeyKey(k.Tenant, k.ID), []byte{1}); err != nil {
		return err
	}
	return a.putKey(k)
}

func (a *apply) putKey(k Key) error {
	a.change.Keys = append(a.change.Keys, k)
	return a.tx.Put(Bucket, recordKey(tagKey, k.ID), encodeRecord(k))
}

// revoke ends k, and does nothing to a key that has ended.
func (a *apply) revoke(k *Key) error {
	if k.Revoked != 0 {
		return nil
	}
	if err := a.tx.Delete(Bucket, hashKey(k.Hash)); err != nil {
		return err
	}
	k.Revoked = max(a.now, 1) // 0 means good
	return a.putKey(*k)
}

// dropKey forgets a revoked key.
func (a *apply) dropKey(k Key) error {
	if err := a.tx.Delete(Bucket, tenantKeyKey(k.Tenant, k.ID)); err != nil {
		return err
	}
	return a.tx.Delete(Bucket, recordKey(tagKey, k.ID))
}
