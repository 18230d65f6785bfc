package collection

import "maps"

// describe returns the descriptor of the collection that the command names, if
// it is the tenant's.
func (a *applier) describe() (descriptor, error) {
	v, err := a.tx.Get(BucketCatalog, collectionKey(rowDescriptor, a.cmd.Collection))
	if err != nil {
		return descriptor{}, err
	}
	if v != nil {
		d, err := decodeDescriptor(v)
		if err != nil || d.tenant == a.cmd.Tenant {
			return d, err
		}
	}
	return descriptor{}, Errorf(NotFound, "collection %d does not exist", a.cmd.Collection)
}

// ifMatch performs an operation on the collection that the command names as long
// as nobody has changed its configuration.
func (a *applier) ifMatch(op IfMatch) (Answer, error) {
	d, err := a.describe()
	if err != nil {
		return Answer{}, err
	}
	tag, err := d.config.Tag(a.cmd.Collection)
	if err != nil {
		return Answer{}, err
	}
	if tag != op.Tag {
		return Answer{}, Errorf(FailedPrecondition, "the collection's configuration is another one by now: read it again")
	}
	if change, ok := op.Op.(UpdateCollection); ok {
		return a.updateCollection(change)
	}
	gone, ok := op.Op.(DeleteCollection)
	if !ok || gone.Name != d.name {
		return Answer{}, Errorf(Internal, "a condition on an operation %T of another collection", op.Op)
	}
	return a.deleteCollection(gone)
}

func (a *applier) updateCollection(op UpdateCollection) (Answer, error) {
	d, err := a.describe()
	if err != nil {
		return Answer{}, err
	}
	if d.config, err = d.config.patched(op); err != nil {
		return Answer{}, err
	}
	row, err := d.encode()
	if err != nil {
		return Answer{}, err
	}
	a.events = append(a.events, Event{Collection: a.cmd.Collection, Kind: EventConfig})
	return Answer{Collection: a.cmd.Collection}, a.tx.Put(BucketCatalog, collectionKey(rowDescriptor, a.cmd.Collection), row)
}

// patched returns c with the changes of op. c stays as it is.
func (c Config) patched(op UpdateCollection) (Config, error) {
	c.Extra = overlaid(c.Extra, op.Settings)
	c.Vectors = append([]VectorParams(nil), c.Vectors...)
	for _, p := range op.Vectors {
		ref, ok := c.Ref(p.Name)
		if !ok || ref.Kind != DenseKind {
			if p.Name == "" {
				return c, Errorf(InvalidArgument, "Default vector params are not specified in config")
			}
			return c, Errorf(InvalidArgument, "Vector params for %s are not specified in config", clip(p.Name))
		}
		v := &c.Vectors[ref.Number]
		v.Extra = overlaid(v.Extra, p.Settings)
		if p.OnDisk != nil {
			v.OnDisk = p.OnDisk
		}
	}
	c.Sparse = append([]SparseParams(nil), c.Sparse...)
	for _, p := range op.Sparse {
		ref, ok := c.Ref(p.Name)
		if !ok || ref.Kind != SparseKind {
			return c, Errorf(InvalidArgument, "Sparse vector `%s` is not specified in collection config", clip(p.Name))
		}
		v := &c.Sparse[ref.Number]
		v.Extra = overlaid(v.Extra, p.Settings)
		if p.IDF != nil {
			v.IDF = *p.IDF
		}
	}
	size, err := c.extraBytes()
	if err == nil && size > maxExtraBytes {
		err = invalid("collection settings: %d bytes, must be at most %d", size, maxExtraBytes)
	}
	return c, err
}

// overlaid returns settings with others over them, see UpdateCollection. Both
// stay as they are.
func overlaid(settings, over map[string]any) map[string]any {
	if len(over) == 0 {
		return settings
	}
	out := make(map[string]any, len(settings)+len(over))
	maps.Copy(out, settings)
	for key, v := range over {
		was, _ := out[key].(map[string]any)
		now, object := v.(map[string]any)
		switch {
		case v == nil:
		case key == "quantization_config" && v == "Disabled":
			delete(out, key)
		case key == "quantization_config" || !object || was == nil:
			out[key] = v
		default:
			out[key] = overlaidObject(was, now, key == "metadata")
		}
	}
	return out
}

// overlaidObject is one object over another. A null changes nothing, or removes
// its key.
func overlaidObject(was, now map[string]any, nullRemoves bool) map[string]any {
	out := make(map[string]any, len(was)+len(now))
	maps.Copy(out, was)
	for key, v := range now {
		switch {
		case v != nil:
			out[key] = v
		case nullRemoves:
			delete(out, key)
		}
	}
	return out
}

func (a *applier) putPayloadIndex(op PutPayloadIndex) (Answer, error) {
	key := indexKey(a.cmd.Collection, op.Index.Field)
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	v, err := a.tx.Get(BucketCatalog, key)
	if err != nil {
		return Answer{}, err
	}
	if v == nil {
		fields, err := ListPayloadIndexes(a.tx, t.id)
		if err != nil {
			return Answer{}, err
		}
		if len(fields) >= PayloadIndexesMax {
			return Answer{}, badRequest("the collection has %d payload indexes, at most %d are allowed", len(fields), PayloadIndexesMax)
		}
	}
	row, err := appendPayloadIndex([]byte{rowVersion}, op.Index)
	if err != nil {
		return Answer{}, err
	}
	a.events = append(a.events, Event{Collection: t.id, Kind: EventConfig})
	if err := a.tx.Put(BucketCatalog, key, row); err != nil {
		return Answer{}, err
	}
	return t.answer(0), a.close(&t)
}

func (a *applier) deletePayloadIndex(op DeletePayloadIndex) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	key := indexKey(t.id, op.Field)
	v, err := a.tx.Get(BucketCatalog, key)
	if err != nil {
		return Answer{}, err
	}
	if v != nil {
		a.events = append(a.events, Event{Collection: t.id, Kind: EventConfig})
		if err := a.tx.Delete(BucketCatalog, key); err != nil {
			return Answer{}, err
		}
	}
	return t.answer(0), a.close(&t)
}

// dropFields removes what was declared of a collection's fields.
func (a *applier) dropFields(collection uint64) error {
	fields, err := ListPayloadIndexes(a.tx, collection)
	if err != nil {
		return err
	}
	for _, x := range fields {
		if err := a.tx.Delete(BucketCatalog, indexKey(collection, x.Field)); err != nil {
			return err
		}
	}
	return nil
}

// indexKey is the key of a declared field.
func indexKey(collection uint64, field string) []byte {
	return append(collectionKey(rowField, collection), field...)
}
