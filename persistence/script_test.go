package persistence

import (
	"encoding/json"
	"errors"

	"github.com/hivehub/waggle/collection"
)

// step is one thing that an entry of the script machine does.
type step struct {
	Do     string // put, delete, get (kept in the answer), refuse, lose, event
	Bucket byte
	Key    []byte
	Value  []byte
}

var errRefused = errors.New("refused by the script")

// scriptMachine is a state machine whose entries say what to do. Its answer is
// the list of values that its gets have seen.
type scriptMachine struct{}

// Apply implements collection.StateMachine.
func (scriptMachine) Apply(tx collection.Txn, e collection.Entry) (out collection.Outcome) {
	var script []step
	if out.Err = json.Unmarshal(e.Data, &script); out.Err != nil {
		return out
	}
	var seen []string
	for _, s := range script {
		var err error
		switch s.Do {
		case "put":
			err = tx.Put(s.Bucket, s.Key, s.Value)
		case "delete":
			err = tx.Delete(s.Bucket, s.Key)
		case "get":
			var value []byte
			value, err = tx.Get(s.Bucket, s.Key)
			seen = append(seen, string(value))
		case "scan":
			err = tx.Scan(s.Bucket, nil, nil, func(key, value []byte) bool {
				seen = append(seen, string(key)+"="+string(value))
				return true
			})
		case "refuse":
			err = errRefused
		case "lose":
			err = corrupt("by the script")
		case "event":
			out.Events = append(out.Events, collection.Event{Collection: uint64(s.Bucket), Version: e.Index})
		}
		if err != nil {
			return collection.Outcome{Err: err, Events: out.Events}
		}
	}
	out.Answer = seen
	return out
}

func script(steps ...step) []byte {
	b, err := json.Marshal(steps)
	if err != nil {
		panic(err)
	}
	return b
}

func sput(bucket byte, key, value string) step {
	return step{Do: "put", Bucket: bucket, Key: []byte(key), Value: []byte(value)}
}

func sdel(bucket byte, key string) step {
	return step{Do: "delete", Bucket: bucket, Key: []byte(key)}
}

func sget(bucket byte, key string) step { return step{Do: "get", Bucket: bucket, Key: []byte(key)} }

func sscan(bucket byte) step { return step{Do: "scan", Bucket: bucket} }

func sevent(collection byte) step { return step{Do: "event", Bucket: collection} }

// openScript opens a partition of scripts over the store.
func openScript(t failer, s Store) *Partition {
	t.Helper()
	return must(OpenPartition(s, scriptMachine{}, PartitionOptions{}))(t)
}

// apply applies scripts at the next indexes.
func apply(p *Partition, scripts ...[]byte) []collection.Outcome {
	at, _ := p.Applied()
	entries := make([]CommittedEntry, len(scripts))
	for i, s := range scripts {
		entries[i] = CommittedEntry{Index: at + 1 + uint64(i), Term: 1, Data: s}
	}
	return p.Apply(entries)
}
