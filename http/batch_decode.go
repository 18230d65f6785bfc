package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
)

// batchKinds are the operations that a batch may hold.
var batchKinds = map[string]func(p *pointReader) (collection.Write, error){
	"upsert":            (*pointReader).upsertWrite,
	"delete":            (*pointReader).deleteWrite,
	"set_payload":       (*pointReader).setPayloadWrite,
	"overwrite_payload": (*pointReader).overwriteWrite,
	"delete_payload":    (*pointReader).deletePayloadWrite,
	"clear_payload":     (*pointReader).clearWrite,
	"update_vectors":    (*pointReader).updateVectorsWrite,
	"delete_vectors":    (*pointReader).deleteVectorsWrite,
}

// The requests that change points, each as the Write that it asks for.

func (p *pointReader) upsertWrite() (w collection.Write, err error) {
	w.Upsert, err = p.upsert()
	return w, err
}

func (p *pointReader) deleteWrite() (w collection.Write, err error) {
	w.Delete, err = p.selector()
	return w, err
}

func (p *pointReader) clearWrite() (w collection.Write, err error) {
	w.ClearPayload, err = p.selector()
	return w, err
}

func (p *pointReader) setPayloadWrite() (w collection.Write, err error) {
	w.SetPayload, err = p.payloadChange()
	return w, err
}

func (p *pointReader) overwriteWrite() (w collection.Write, err error) {
	w.OverwritePayload, err = p.payloadChange()
	return w, err
}

func (p *pointReader) deletePayloadWrite() (w collection.Write, err error) {
	w.DeletePayload, err = p.keysChange()
	return w, err
}

func (p *pointReader) updateVectorsWrite() (w collection.Write, err error) {
	w.UpdateVectors, err = p.updateVectors()
	return w, err
}

func (p *pointReader) deleteVectorsWrite() (w collection.Write, err error) {
	w.DeleteVectors, err = p.vectorsChange()
	return w, err
}

// batchWrite reads {"operations": [{kind: operation}]}.
func (p *pointReader) batchWrite() (w collection.Write, err error) {
	err = p.object(func(key []byte) error {
		if string(key) != "operations" {
			return p.skip()
		}
		w.Batch = []collection.Write{}
		return p.array(func() error {
			if len(w.Batch) == collection.BatchOpsMax {
				return tooManyOf("operations", collection.BatchOpsMax)
			}
			one, err := p.operation()
			w.Batch = append(w.Batch, one)
			return err
		})
	})
	if err == nil && w.Batch == nil {
		err = p.fault("missing field `operations`")
	}
	return w, err
}

// operation reads {kind: operation}.
func (p *pointReader) operation() (w collection.Write, err error) {
	found := false
	err = p.object(func(key []byte) (err error) {
		read := batchKinds[string(key)]
		if read == nil || found {
			return p.skip()
		}
		found = true
		w, err = read(p)
		return err
	})
	if err == nil && !found {
		err = p.fault("data did not match any variant of untagged enum UpdateOperation")
	}
	return w, err
}

func tooManyOf(what string, most int) error {
	return &collection.Error{
		Code: collection.InvalidArgument, Reason: collection.ReasonTooLarge,
		Message: "more than " + strconv.Itoa(most) + " " + what + " in one request",
	}
}
