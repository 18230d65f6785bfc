package collection

import "encoding/binary"

// The operations that came with named vectors, in the words of EncodeCommand.
// "Settings" are 4 bytes of length and as many bytes, see AppendPayload.
//
//	UpdateVectors       as Upsert
//	DeleteVectors       ids, number (4), for each vector: number (2), kind (1)
//	UpdateAliases       number (4), for each action: kind (1), alias and target as bytes
//	UpdateCollection    settings, twice (dense, sparse): number (2), for each vector:
//	                    name as bytes, OnDisk (1), IDF (1), settings
//	PutPayloadIndex     type (1), field as bytes, settings
//	DeletePayloadIndex  field
//	Batch               number (4), for each operation: kind (1), itself as bytes
//	CutUsage            nothing
//	UsageDone           Upto (8)
//	IfMatch             tag (16), kind (1), operation
//	ChangeTexts         number (2), for each text: number (2), part as bytes; kind
//	                    of the change (1), itself
func appendLaterOp(dst []byte, op Op) ([]byte, error) {
	switch op := op.(type) {
	case UpdateVectors:
		return appendRecords(dst, op.Records), nil
	case DeleteVectors:
		dst = binary.LittleEndian.AppendUint32(appendIDs(dst, op.IDs), uint32(len(op.Vectors)))
		for _, v := range op.Vectors {
			dst = append(binary.LittleEndian.AppendUint16(dst, v.Number), byte(v.Kind))
		}
		return dst, nil
	case UpdateAliases:
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(op.Actions)))
		for _, a := range op.Actions {
			dst = appendBytes(appendBytes(append(dst, byte(a.Kind)), a.Alias), a.Target)
		}
		return dst, nil
	case UpdateCollection:
		dst, err := appendSettings(dst, op.Settings)
		if err == nil {
			dst, err = appendPatches(dst, op.Vectors)
		}
		if err == nil {
			dst, err = appendPatches(dst, op.Sparse)
		}
		return dst, err
	case PutPayloadIndex:
		return appendPayloadIndex(dst, op.Index)
	case DeletePayloadIndex:
		return append(dst, op.Field...), nil
	case Batch:
		return appendBatch(dst, op)
	case CutUsage:
		return dst, nil
	case UsageDone:
		return binary.LittleEndian.AppendUint64(dst, op.Upto), nil
	case ChangeTexts:
		return appendChangeTexts(dst, op)
	case IfMatch:
		return appendOp(append(append(dst, op.Tag[:]...), byte(op.Op.kind())), op.Op)
	}
	return nil, Errorf(Internal, "operation %T has no encoding", op)
}

func appendPatches(dst []byte, list []VectorPatch) ([]byte, error) {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(list)))
	for _, p := range list {
		dst = appendChoice(appendChoice(appendBytes(dst, p.Name), p.OnDisk), p.IDF)
		var err error
		if dst, err = appendSettings(dst, p.Settings); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func appendPayloadIndex(dst []byte, x PayloadIndex) ([]byte, error) {
	number, ok := x.Type.number()
	if !ok {
		return nil, Errorf(Internal, "field type %q has no number", x.Type)
	}
	return appendSettings(appendBytes(append(dst, number), x.Field), x.Params)
}

func appendBatch(dst []byte, b Batch) ([]byte, error) {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b.Ops)))
	for _, op := range b.Ops {
		if !inBatch(op.kind()) {
			return nil, Errorf(Internal, "operation %T in a batch", op)
		}
		dst = append(dst, byte(op.kind()), 0, 0, 0, 0)
		start := len(dst)
		var err error
		if dst, err = appendOp(dst, op); err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	}
	return dst, nil
}

// inBatch reports whether a batch may hold an operation of that kind.
func inBatch(kind opKind) bool {
	switch kind {
	case opUpsert, opDeletePoints, opSetPayload, opOverwritePayload, opDeletePayload, opClearPayload,
		opUpdateVectors, opDeleteVectors, opChangeTexts:
		return true
	}
	return false
}

func decodeLaterOp(d *decoder, kind opKind) (Op, error) {
	switch kind {
	case opUpdateVectors:
		records, err := decodeRecords(d)
		return UpdateVectors{Records: records}, err
	case opDeleteVectors:
		ids, err := decodeIDs(d)
		return DeleteVectors{IDs: ids, Vectors: decodeRefs(d)}, err
	case opUpdateAliases:
		return UpdateAliases{Actions: decodeActions(d)}, nil
	case opUpdateCollection:
		var op UpdateCollection
		var err error
		if op.Settings, err = d.settings(); err != nil {
			return nil, err
		}
		if op.Vectors, err = decodePatches(d); err != nil {
			return nil, err
		}
		op.Sparse, err = decodePatches(d)
		return op, err
	case opPutPayloadIndex:
		x, err := decodePayloadIndex(d)
		return PutPayloadIndex{Index: x}, err
	case opDeletePayloadIndex:
		return DeletePayloadIndex{Field: string(d.rest())}, nil
	case opBatch:
		return decodeBatch(d)
	case opCutUsage:
		return CutUsage{}, nil
	case opUsageDone:
		return UsageDone{Upto: d.u64()}, nil
	case opChangeTexts:
		return decodeChangeTexts(d)
	case opIfMatch:
		return decodeIfMatch(d)
	}
	return nil, Errorf(DataLoss, "command: unknown operation %d", kind)
}

func appendChangeTexts(dst []byte, op ChangeTexts) ([]byte, error) {
	if op.Op == nil || !ofPayloads(op.Op.kind()) {
		return nil, Errorf(Internal, "operation %T with texts", op.Op)
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(op.Texts)))
	for _, c := range op.Texts {
		dst = appendBytes(binary.LittleEndian.AppendUint16(dst, c.Number), c.Part)
	}
	return appendOp(append(dst, byte(op.Op.kind())), op.Op)
}

// ofPayloads reports whether an operation of that kind may change texts, too.
func ofPayloads(kind opKind) bool {
	switch kind {
	case opSetPayload, opOverwritePayload, opDeletePayload, opClearPayload:
		return true
	}
	return false
}

func decodeChangeTexts(d *decoder) (Op, error) {
	n := d.u16()
	if n > VectorsMax {
		return nil, Errorf(DataLoss, "command with %d texts", n)
	}
	op := ChangeTexts{Texts: make([]TextChange, n)}
	for i := range op.Texts {
		c := TextChange{Number: uint16(d.u16()), Part: d.take(d.u32())}
		d.bad = d.bad || !c.wellFormed() || i > 0 && c.Number <= op.Texts[i-1].Number
		op.Texts[i] = c
	}
	kind := opKind(d.u8())
	if d.bad || !ofPayloads(kind) {
		return nil, Errorf(DataLoss, "command: malformed texts, or with operation %d", kind)
	}
	var err error
	op.Op, err = decodeOp(d, kind)
	return op, err
}

func decodeIfMatch(d *decoder) (Op, error) {
	op := IfMatch{}
	copy(op.Tag[:], d.take(len(op.Tag)))
	kind := opKind(d.u8())
	if d.bad || kind != opUpdateCollection && kind != opDeleteCollection {
		return nil, Errorf(DataLoss, "command: a condition on operation %d", kind)
	}
	var err error
	op.Op, err = decodeOp(d, kind)
	return op, err
}

func decodeRefs(d *decoder) []VectorRef {
	refs := make([]VectorRef, d.count(3))
	for i := range refs {
		refs[i] = VectorRef{Number: uint16(d.u16()), Kind: VectorKind(d.u8())}
	}
	return refs
}

func decodeActions(d *decoder) []AliasAction {
	actions := make([]AliasAction, d.count(9))
	for i := range actions {
		a := AliasAction{Kind: AliasKind(d.u8()), Alias: string(d.take(d.u32())), Target: string(d.take(d.u32()))}
		d.bad = d.bad || a.Kind == 0 || a.Kind >= aliasKindEnd
		actions[i] = a
	}
	return actions
}

func decodePatches(d *decoder) ([]VectorPatch, error) {
	var list []VectorPatch
	for n := d.u16(); n > 0 && !d.bad; n-- {
		p := VectorPatch{Name: string(d.take(d.u32())), OnDisk: d.choice(), IDF: d.choice()}
		var err error
		if p.Settings, err = d.settings(); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func decodePayloadIndex(d *decoder) (PayloadIndex, error) {
	number := d.u8()
	if number == 0 || int(number) >= len(fieldTypes) {
		d.bad = true
		return PayloadIndex{}, nil
	}
	x := PayloadIndex{Type: fieldTypes[number], Field: string(d.take(d.u32()))}
	var err error
	x.Params, err = d.settings()
	return x, err
}

func decodeBatch(d *decoder) (Op, error) {
	n := d.count(5)
	if n > BatchOpsMax {
		return nil, Errorf(DataLoss, "command with %d operations", n)
	}
	b := Batch{Ops: make([]Op, n)}
	for i := range b.Ops {
		kind := opKind(d.u8())
		inner := decoder{b: d.take(d.u32())}
		if d.bad || !inBatch(kind) {
			return nil, Errorf(DataLoss, "command: operation %d in a batch", kind)
		}
		op, err := decodeOp(&inner, kind)
		if err != nil {
			return nil, err
		}
		if !inner.done() {
			return nil, Errorf(DataLoss, "command: malformed operation %d in a batch", kind)
		}
		b.Ops[i] = op
	}
	return b, nil
}
