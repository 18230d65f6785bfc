package hubsvc

import "github.com/hivehub/waggle/tenant"

// The decisions about keys.

func (a *apply) createKey(op *CreateKey) (any, error) {
	k := Key{
		Tenant: op.Tenant, Permission: op.Permission, Kind: op.Kind, Name: op.Name,
		Scope: op.Scope, Rates: op.Rates, Expires: op.Expires,
	}
	k.defaults()
	if op.Expires != 0 && op.Expires <= a.now {
		return nil, errorf(CodeInvalidRequest, "the key would have expired already")
	}
	if k.Kind != tenant.KeyService {
		t, err := a.tenant(op.Tenant)
		if err != nil {
			return nil, err
		}
		if t.Status == Deleting {
			return nil, errBeingDeleted(t.ID)
		}
	}
	made, err := a.addKey(k, op.Key)
	if err != nil {
		return nil, err
	}
	detail := k.Kind.String()
	if k.Permission != "" {
		detail += " " + string(k.Permission)
	}
	return made, a.note(Event{Kind: EventKeyCreated, Tenant: k.Tenant, KeyID: made.ID}, ActionKeyCreate, string(made.ID), detail)
}

// addKey makes room for a key and stores it.
func (a *apply) addKey(k Key, n NewKey) (Key, error) {
	if err := a.makeRoom(k.Tenant); err != nil {
		return Key{}, err
	}
	if err := a.putNewKey(k, n); err != nil {
		return Key{}, err
	}
	return a.change.Keys[len(a.change.Keys)-1], nil
}

// makeRoom keeps a tenant's key records at KeysPerTenantMax: the key that
// ended first is forgotten first, a good key never.
func (a *apply) makeRoom(t tenant.ID) error {
	ids, err := keyIDsOf(a.tx, t)
	if err != nil || len(ids) < KeysPerTenantMax {
		return err
	}
	keys, err := keysOf(a.tx, t)
	if err != nil {
		return err
	}
	oldest, since := -1, int64(0)
	for i, k := range keys {
		if end, ended := k.ended(a.now); ended && (oldest < 0 || end < since) {
			oldest, since = i, end
		}
	}
	if oldest < 0 {
		return errorf(CodeQuotaExceeded, "%s has %d keys, the most there can be", ownerOf(t), len(keys))
	}
	k := keys[oldest]
	if err := a.revoke(&k); err != nil {
		return err
	}
	return a.dropKey(k)
}

func ownerOf(t tenant.ID) string {
	if t == "" {
		return "the cluster"
	}
	return "tenant " + string(t)
}

func (a *apply) key(id tenant.KeyID) (Key, error) { return keyOf(a.tx, id) }

// actorMayStill refuses what a key asks for that was revoked before in the log,
// although an edge let it in: its revocation would otherwise be outlived by a
// key that it made a moment later.
func (a *apply) actorMayStill() error {
	if a.actor.KeyID == "" {
		return nil
	}
	k, ok, err := get[Key](a.tx, recordKey(tagKey, a.actor.KeyID))
	if err == nil && ok && k.Revoked != 0 {
		err = errKey
	}
	return err
}

func (a *apply) revokeKey(id tenant.KeyID) (any, error) {
	k, err := a.key(id)
	if err != nil || k.Revoked != 0 {
		return k, err
	}
	if k.Operator {
		if err := a.mustNotBeLastOperator(k); err != nil {
			return nil, err
		}
	}
	if err := a.revoke(&k); err != nil {
		return nil, err
	}
	return k, a.note(Event{Kind: EventKeyRevoked, Tenant: k.Tenant, KeyID: k.ID}, ActionKeyRevoke, string(k.ID), "")
}

// mustNotBeLastOperator refuses to go on without an operator key that lasts.
func (a *apply) mustNotBeLastOperator(k Key) error {
	keys, err := keysOf(a.tx, "")
	if err != nil {
		return err
	}
	for _, other := range keys {
		if other.Operator && other.ID != k.ID && other.Revoked == 0 && other.Rotated == 0 {
			return nil
		}
	}
	return errorf(CodeFailedPrecondition, "key %s is the only operator key", k.ID)
}

func (a *apply) rotateKey(op *RotateKey) (any, error) {
	old, err := a.key(op.ID)
	if err != nil {
		return nil, err
	}
	if _, ended := old.ended(a.now); ended {
		return nil, errorf(CodeFailedPrecondition, "key %s is revoked or has expired; make a new one", old.ID)
	}
	if old.Rotated != 0 {
		return nil, errorf(CodeFailedPrecondition, "key %s has been rotated already; its successor is %s", old.ID, old.Next)
	}
	next := old
	made, err := a.addKey(next, op.Key)
	if err != nil {
		return nil, err
	}
	old.Rotated, old.Next = max(a.now, 1), made.ID
	until := max(a.now, 1) + op.Grace
	switch {
	case op.Grace == 0:
		err = a.revoke(&old)
	case old.Expires == 0 || until < old.Expires:
		old.Expires = until
		err = a.putKey(old)
	default:
		err = a.putKey(old)
	}
	if err != nil {
		return nil, err
	}
	return Rotated{New: made, Old: old}, a.note(Event{Kind: EventKeyRotated, Tenant: old.Tenant, KeyID: old.ID}, ActionKeyRotate, string(old.ID), "successor "+string(made.ID))
}
