package httpedge

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packed is a body as an encoding has it.
func packed(t testing.TB, encoding, body string) string {
	t.Helper()
	var b bytes.Buffer
	switch encoding {
	case encodingGzip:
		w := gzip.NewWriter(&b)
		_, err := w.Write([]byte(body))
		noError(t, err)
		noError(t, w.Close())
	case encodingZstd:
		w, err := zstd.NewWriter(&b)
		noError(t, err)
		_, err = w.Write([]byte(body))
		noError(t, err)
		noError(t, w.Close())
	}
	return b.String()
}

var encodings = []string{encodingGzip, encodingZstd}

// TestCompressedBodies: what is compressed is as good as what is not, on every
// surface; what is compressed badly is the caller's fault, and leaves nothing
// that is counted.
func TestCompressedBodies(t *testing.T) {
	e := newEdge(t, smallBodies)
	const points = `{"points":[{"id":1,"vector":[1,2]}]}`
	send := func(encoding, body string) reply {
		return e.send("PUT", e.qdrant+"/collections/docs/points", e.keys["READ_WRITE"], body, "Content-Encoding", encoding)
	}
	for _, encoding := range encodings {
		whole := packed(t, encoding, points)
		send(encoding, whole).is(200, `"status":"ok"`)
		if calls := e.engine.take(); len(calls) != 1 {
			t.Errorf("%s: %d writes", encoding, len(calls))
		}
		e.send("POST", e.main+"/insert_vectors", e.keys["READ_WRITE"], packed(t, encoding, `{"collection":"docs","vectors":[{"vector":[1,2]}]}`),
			"Content-Encoding", strings.ToUpper(encoding)).is(201, `"inserted":1`)
		e.engine.take()
		for n := 1; n < len(whole); n++ {
			if got := send(encoding, whole[:n]); got.status != 400 {
				t.Errorf("%s: of %d bytes the first %d: %d %s", encoding, len(whole), n, got.status, got.text)
			}
		}
		send(encoding, "{}").is(400, "")
		send(encoding, whole+"{").is(400, "")
		// What is inside counts: just within the limit, and a byte more.
		limit := e.limits.Request.BodyBytes
		send(encoding, packed(t, encoding, paddedUpsert(limit))).is(200, "")
		send(encoding, packed(t, encoding, paddedUpsert(limit+1))).is(413, fmt.Sprintf("limit: %d bytes", limit))
		if calls := e.engine.take(); len(calls) != 1 {
			t.Errorf("%s: %d writes", encoding, len(calls))
		}
	}
	for _, unknown := range []string{"br", "deflate", "gzip, zstd", "gzip,gzip", "x"} {
		send(unknown, points).is(415, "gzip or zstd")
	}
	send("identity", points).is(200, "")
	e.send("POST", e.main+"/api/v1/cluster/keys/validate", "", packed(t, "gzip", `{}`), "Content-Encoding", "gzip").is(415, "")
	if e.bodies.Load() != 0 {
		t.Errorf("%d bytes are still counted", e.bodies.Load())
	}
}

// TestDecompressionBomb: a body that grows a thousand times is cut off at the
// limit, and what is held for it is counted.
func TestDecompressionBomb(t *testing.T) {
	e := newEdge(t, nil)
	bomb := packed(t, encodingZstd, strings.Repeat(" ", 512<<20))
	if len(bomb) > 1<<20 {
		t.Fatalf("no bomb: %d bytes", len(bomb))
	}
	e.send("PUT", e.qdrant+"/collections/docs/points", e.keys["READ_WRITE"], bomb, "Content-Encoding", "zstd").is(413, "")
	e.bodies.Add(e.limits.BodyBytesAllMax - 4<<20)
	e.send("PUT", e.qdrant+"/collections/docs/points", e.keys["READ_WRITE"], bomb, "Content-Encoding", "zstd").is(503, "too many large requests")
	e.send("PUT", e.qdrant+"/collections/docs/points", e.keys["READ_WRITE"], packed(t, "gzip", strings.Repeat(" ", 16<<20)), "Content-Encoding", "gzip").is(503, "too many large requests")
	e.bodies.Add(4<<20 - e.limits.BodyBytesAllMax)
	if e.bodies.Load() != 0 {
		t.Errorf("%d bytes are still counted", e.bodies.Load())
	}
}

// TestCompressedSigned: a signature is over the bytes as they are sent.
func TestCompressedSigned(t *testing.T) {
	w := newWorld(t)
	w.settle()
	plain := `{"collection":"docs","vectors":[{"id":"5","vector":[1,2]}]}`
	body := packed(t, encodingGzip, plain)
	for _, door := range []*edge{w.edge, w.through} {
		url := door.main + "/insert_vectors"
		w.ask("POST", url, body, append(w.signature(w.mine, "POST", url, body, nil), "Content-Encoding", "gzip")...).is(201, `"inserted":1`)
		w.ask("POST", url, body, append(w.signature(w.mine, "POST", url, plain, nil), "Content-Encoding", "gzip")...).is(401, "")
	}
}

// FuzzDecoder: whatever is sent as compressed, decoding ends, with at most as
// much as was asked for.
func FuzzDecoder(f *testing.F) {
	for i, encoding := range encodings {
		f.Add(i == 1, []byte(packed(f, encoding, `{"points":[]}`)))
	}
	f.Fuzz(func(t *testing.T, second bool, body []byte) {
		encoding := encodings[0]
		if second {
			encoding = encodings[1]
		}
		d, err := decoder(encoding, &sliceReader{b: body})
		if err != nil {
			_ = decodingError(err)
			return
		}
		defer d.Close()
		room := make([]byte, 4<<10)
		for range 256 {
			if _, err := d.Read(room); err != nil {
				return
			}
		}
	})
}
