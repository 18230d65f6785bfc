package collection

import (
	"maps"
	"slices"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

// memStore is the simplest store that a Machine can run on: maps, and a list
// of what to put back when an entry is refused.
type memStore struct {
	buckets [BucketEnd]map[string][]byte
	undo    []func()
	index   uint64
}

func newMemStore() *memStore {
	s := &memStore{}
	for i := range s.buckets {
		s.buckets[i] = map[string][]byte{}
	}
	return s
}

func (s *memStore) Get(bucket byte, key []byte) ([]byte, error) {
	return s.buckets[bucket][string(key)], nil
}

func (s *memStore) Scan(bucket byte, from, to []byte, fn func(key, value []byte) bool) error {
	for _, key := range slices.Sorted(maps.Keys(s.buckets[bucket])) {
		if key < string(from) || to != nil && key >= string(to) {
			continue
		}
		if !fn([]byte(key), s.buckets[bucket][key]) {
			break
		}
	}
	return nil
}

func (s *memStore) Put(bucket byte, key, value []byte) error {
	if len(value) == 0 {
		panic("BUG: an empty value")
	}
	s.remember(bucket, string(key))
	s.buckets[bucket][string(key)] = value
	return nil
}

func (s *memStore) Delete(bucket byte, key []byte) error {
	s.remember(bucket, string(key))
	delete(s.buckets[bucket], string(key))
	return nil
}

func (s *memStore) remember(bucket byte, key string) {
	old, there := s.buckets[bucket][key]
	s.undo = append(s.undo, func() {
		delete(s.buckets[bucket], key)
		if there {
			s.buckets[bucket][key] = old
		}
	})
}

// apply applies an encoded command as the next entry, as a partition does.
func (s *memStore) apply(data []byte) Outcome {
	s.index++
	s.undo = s.undo[:0]
	out := Machine{}.Apply(s, Entry{Index: s.index, Data: data})
	if out.Err != nil {
		for _, undo := range slices.Backward(s.undo) {
			undo()
		}
	}
	return out
}

// do applies a command that must be accepted.
func (s *memStore) do(t testing.TB, c Command) Answer {
	t.Helper()
	answer, err := s.try(t, c)
	if err != nil {
		t.Fatalf("%T: %v", c.Op, err)
	}
	return answer
}

// try applies a command, checks that the store agrees with itself and, when
// the command was refused, that nothing changed.
func (s *memStore) try(t testing.TB, c Command) (Answer, error) {
	t.Helper()
	before := s.state()
	out := s.apply(encode(t, c))
	if err := Verify(s); err != nil {
		t.Fatalf("after %T: %v", c.Op, err)
	}
	if out.Err != nil {
		if s.state() != before || out.Events != nil {
			t.Fatalf("%T was refused (%v) and changed something", c.Op, out.Err)
		}
		return Answer{}, out.Err
	}
	return out.Answer.(Answer), nil
}

// state is every row, in order.
func (s *memStore) state() string {
	var all []byte
	for b := range byte(len(s.buckets)) {
		_ = s.Scan(b, nil, nil, func(key, value []byte) bool {
			all = appendBytes(appendBytes(append(all, b), key), value)
			return true
		})
	}
	return string(all)
}

func encode(t testing.TB, c Command) []byte {
	t.Helper()
	data, err := EncodeCommand(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const (
	alice = tenant.ID("alice")
	bob   = tenant.ID("bob")
)

var unlimited = tenant.Limits{Vectors: tenant.Unlimited, Bytes: tenant.Unlimited, Collections: tenant.Unlimited}

// command is an operation of alice's without limits.
func command(collection uint64, op Op) Command {
	return Command{Tenant: alice, Collection: collection, Limits: unlimited, Op: op}
}

func testConfig() Config {
	return Config{Vectors: []VectorParams{{Size: 2, Distance: Dot}}}
}

// create makes a collection of alice's and returns its id.
func (s *memStore) create(t testing.TB, name string) uint64 {
	t.Helper()
	return s.do(t, command(0, CreateCollection{Name: name, Config: testConfig()})).Collection
}

func record(t testing.TB, p Point) Record {
	t.Helper()
	raw, err := EncodeRecord(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := DecodeRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// upsert makes an Upsert of points with vectors of testConfig.
func upsert(t testing.TB, points ...Point) Upsert {
	t.Helper()
	op, err := Finalize(Info{Config: testConfig()}, Write{Upsert: points}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return op.(Upsert)
}

func point(n uint64, payload Payload) Point {
	return Point{ID: NumID(n), Vector: []float32{float32(n), 1}, Payload: payload}
}

// wantError checks code and reason of an error.
func wantError(t testing.TB, err error, code Code, reason Reason) {
	t.Helper()
	if err == nil || CodeOf(err) != code || ReasonOf(err) != reason {
		t.Fatalf("error %v (%s %q), want %s %q", err, CodeOf(err), ReasonOf(err), code, reason)
	}
}
