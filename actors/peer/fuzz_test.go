package peer

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Whatever an envelope decodes to encodes to an envelope that decodes to the
// same; nothing panics.
func FuzzEnvelope(f *testing.F) {
	app := say(raftpb.MsgApp, 1, 2, 10)
	app.Entries = []*raftpb.Entry{{Term: new(uint64(1)), Index: new(uint64(11)), Data: []byte("data")}, {}}
	var seed []byte
	for _, m := range []*raftpb.Message{app, say(raftpb.MsgHeartbeat, 1, 2, 3), say(raftpb.MsgAppResp, 2, 1, 4)} {
		one, err := appendEnvelope(nil, 77, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(one)
		seed = append(seed, one...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, lane := range []Lane{Heartbeats, Appends} {
			var again []byte
			var first []*raftpb.Message
			_ = decodeEnvelope(b, lane, func(group uint64, m *raftpb.Message) {
				if l, _, ok := laneOf(m); !ok || l != lane || m.Snapshot != nil || len(m.Responses) > 0 {
					t.Fatalf("passed on %v", m)
				}
				var err error
				if again, err = appendEnvelope(again, group, m); err != nil {
					t.Fatal(err)
				}
				first = append(first, m)
			})
			n := 0
			if err := decodeEnvelope(again, lane, func(_ uint64, m *raftpb.Message) {
				if !proto.Equal(m, first[n]) {
					t.Fatalf("%v, then %v", first[n], m)
				}
				n++
			}); err != nil || n != len(first) {
				t.Fatalf("%d of %d messages again: %v", n, len(first), err)
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(hello{passport: passport{demo, 2, "n2"}, version: 1, lane: Bulk}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHello(b)
		if err == nil && !bytes.Equal(h.encode(), b) {
			t.Fatalf("%x is %+v", b, h)
		}
		if err == nil && h.check(passport{demo, 2, "n2"}) == nil && h.number != 2 {
			t.Fatalf("%+v passes for another", h)
		}
		_ = printable(b)
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add("waggle://01020300000000000000000000000000/2")
	f.Add("waggle://01020300000000000000000000000000/02")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parseIdentity(s); err == nil && (p.number == 0 || len(s) < 9+32+2) {
			t.Fatalf("%q is %v", s, p)
		}
	})
}

// The pieces of a payload, cut anywhere, make the payload or an error; what is
// held is never more than was announced.
func FuzzPieces(f *testing.F) {
	f.Add(uint32(SmallBytesMax+1), uint32(0), uint32(0), 100, []byte("xyz"))
	f.Add(uint32(PayloadBytesMax+1), uint32(0), uint32(0), 1, []byte("x"))
	f.Fuzz(func(t *testing.T, total, message, offset uint32, size int, tail []byte) {
		var a assembler
		size = min(max(size, 1), pieceBytes)
		for range 4 {
			at := uint32(len(a.buf))
			whole, err := a.add(append(appendPieceHead(nil, message, total, at), make([]byte, size)...))
			if err != nil {
				break
			}
			if whole != nil && len(whole) != int(total) {
				t.Fatalf("%d bytes of %d", len(whole), total)
			}
		}
		_, _ = a.add(append(appendPieceHead(nil, message, total, offset), tail...))
		_, _ = a.add(tail)
		if len(a.buf) > int(a.total) || a.total > PayloadBytesMax {
			t.Fatalf("holds %d of %d", len(a.buf), a.total)
		}
	})
}

func FuzzTransferFrames(f *testing.F) {
	f.Add(begin{id: 1, size: 2, meta: []byte("m")}.encode())
	f.Add(append(chunk{id: 1, offset: 2, sum: 3}.appendHead(nil), 'x'))
	f.Add(end{id: 1, sum: 2}.append(nil))
	f.Add(status{id: 1, have: 2, limit: 3, flags: flagResume}.encode())
	f.Add(result{id: 1, code: resultCorrupt, answer: []byte("no")}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(what string, again []byte, err error) {
			if err == nil && !bytes.Equal(again, b) {
				t.Fatalf("%s: %x became %x", what, b, again)
			}
		}
		m1, err := decodeBegin(b)
		same("begin", m1.encode(), err)
		m2, err := decodeChunk(b)
		same("chunk", append(m2.appendHead(nil), m2.data...), err)
		m3, err := decodeEnd(b)
		same("end", m3.append(nil), err)
		m4, err := decodeStatus(b)
		same("status", m4.encode(), err)
		if err == nil && (m4.have < 0 || m4.limit < m4.have) {
			t.Fatalf("status %+v", m4)
		}
		m5, err := decodeResult(b)
		same("result", m5.encode(), err)
	})
}

// A stream of anything is cut into frames within their limits, or refused.
func FuzzFrames(f *testing.F) {
	w := frameWriter{}
	w.frame(kindPing)
	w.frame(kindMessage, []byte("payload"))
	f.Add(w.buf, byte(carrying), byte(Requests))
	f.Add([]byte{255, 255, 255, 255, 6}, byte(carrying), byte(Requests))
	f.Fuzz(func(t *testing.T, b []byte, d, lane byte) {
		r := frameReader{r: bytes.NewReader(b), direction: direction(d % 3), lane: Lane(lane)}
		for {
			k, body, err := r.next()
			if err != nil {
				break
			}
			if limit := bodyMax(r.direction, r.lane, k); len(body) > limit {
				t.Fatalf("frame of kind %d with %d bytes, limit %d", k, len(body), limit)
			}
		}
		if cap(r.buf) > 2*len(b)+128<<10 {
			t.Fatalf("%d bytes held for %d", cap(r.buf), len(b))
		}
	})
}

// Frames that say they are long cost nothing until their bytes come.
func TestLongFramesAreNotBelieved(t *testing.T) {
	r := frameReader{r: io.MultiReader(bytes.NewReader([]byte{0, 0, 0, 4, byte(kindRaft)}), bytes.NewReader(make([]byte, 1000))), direction: carrying, lane: Appends}
	if _, _, err := r.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(r.buf) > 256<<10 {
		t.Fatalf("%d bytes allocated", cap(r.buf))
	}
}
