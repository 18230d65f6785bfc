package collection

import (
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

// updateAliases performs the actions in their order. An alias leads to a
// collection, not to its name; no alias has the name of a collection.
func (a *applier) updateAliases(op UpdateAliases) (Answer, error) {
	rows, err := listAliases(a.tx, a.cmd.Tenant)
	if err != nil {
		return Answer{}, err
	}
	count := len(rows)
	for _, action := range op.Actions {
		var change int
		switch action.Kind {
		case AliasCreate:
			change, err = a.createAlias(action)
		case AliasDelete:
			change, err = a.deleteAlias(action.Alias)
		case AliasRename:
			change, err = a.renameAlias(action)
		}
		if err != nil {
			return Answer{}, err
		}
		count += change
	}
	if count > AliasesMax && count > len(rows) {
		return Answer{}, badRequest("%d aliases, at most %d are allowed", count, AliasesMax)
	}
	return Answer{Affected: len(op.Actions)}, nil
}

func (a *applier) createAlias(action AliasAction) (change int, err error) {
	v, err := a.tx.Get(BucketCatalog, tenantKey(rowName, a.cmd.Tenant, action.Target))
	if err != nil {
		return 0, err
	}
	if v == nil {
		return 0, Errorf(NotFound, "Collection `%s` doesn't exist!", clip(action.Target))
	}
	return a.putAlias(action.Alias, v)
}

// putAlias makes an alias lead where a row says, in place of one of that name.
func (a *applier) putAlias(alias string, row []byte) (change int, err error) {
	taken, err := a.tx.Get(BucketCatalog, tenantKey(rowName, a.cmd.Tenant, alias))
	if err != nil {
		return 0, err
	}
	if taken != nil {
		return 0, Errorf(AlreadyExists, "Collection `%s` already exists!", alias)
	}
	id, err := decodeNameRow(row)
	if err != nil {
		return 0, err
	}
	key := tenantKey(rowAlias, a.cmd.Tenant, alias)
	before, err := a.tx.Get(BucketCatalog, key)
	if before == nil {
		change = 1
	}
	if err != nil {
		return 0, err
	}
	return change, a.tx.Put(BucketCatalog, key, binary.LittleEndian.AppendUint64(nil, id))
}

func (a *applier) deleteAlias(alias string) (change int, err error) {
	key := tenantKey(rowAlias, a.cmd.Tenant, alias)
	v, err := a.tx.Get(BucketCatalog, key)
	if v == nil || err != nil {
		return 0, err
	}
	return -1, a.tx.Delete(BucketCatalog, key)
}

func (a *applier) renameAlias(action AliasAction) (change int, err error) {
	v, err := a.tx.Get(BucketCatalog, tenantKey(rowAlias, a.cmd.Tenant, action.Alias))
	if err != nil {
		return 0, err
	}
	if v == nil {
		return 0, Errorf(NotFound, "Alias %s does not exists!", clip(action.Alias))
	}
	gone, err := a.deleteAlias(action.Alias)
	if err != nil {
		return 0, err
	}
	made, err := a.putAlias(action.Target, v)
	return gone + made, err
}

// dropAliases removes the aliases that lead to a collection.
func (a *applier) dropAliases(collection uint64) error {
	rows, err := listAliases(a.tx, a.cmd.Tenant)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.collection != collection {
			continue
		}
		if err := a.tx.Delete(BucketCatalog, tenantKey(rowAlias, a.cmd.Tenant, row.name)); err != nil {
			return err
		}
	}
	return nil
}

// aliasRow is an alias and the id of its collection.
type aliasRow struct {
	name       string
	collection uint64
}

// listAliases returns the tenant's aliases in the order of their names.
func listAliases(r Reader, t tenant.ID) ([]aliasRow, error) {
	prefix := tenantKey(rowAlias, t, "")
	var rows []aliasRow
	var broken error
	err := r.Scan(BucketCatalog, prefix, prefixEnd(prefix), func(key, value []byte) bool {
		id, err := decodeNameRow(value)
		broken = err
		rows = append(rows, aliasRow{string(key[len(prefix):]), id})
		return err == nil
	})
	if err == nil {
		err = broken
	}
	return rows, err
}
