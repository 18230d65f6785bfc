package httpedge

import (
	"maps"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/collection/chunk"
)

// pointsOfTexts are the points that the texts of a request are stored as. They
// are bounded while they are made: a short request can ask for very many chunks,
// each with a copy of a large payload.
type pointsOfTexts struct {
	r      *request // nothing is made for a client that is gone; nil: of no one client's
	member string   // of payloads, that texts are in
	most   int      // points
	list   []collection.Point
	ids    map[vectorID]bool // of the texts
	copied int               // bytes of payloads, about
}

// chunkPayloadsMax is how many bytes the payloads of all chunks of a request may
// have, about.
const chunkPayloadsMax = 64 << 20

func newPointsOfTexts(r *request, most int, member string) *pointsOfTexts {
	return &pointsOfTexts{r: r, member: member, most: most}
}

// room refuses another point where there are as many as may be.
func (p *pointsOfTexts) room() error {
	if len(p.list) >= p.most {
		return tooManyOf("points, chunks among them,", p.most)
	}
	if p.r == nil {
		return nil
	}
	return p.r.ctx.Err()
}

// add makes the points that a text is stored as.
func (p *pointsOfTexts) add(n *newText, cutIt bool, cut chunk.Options) (storedText, error) {
	stored := storedText{id: n.ID, given: n.ID != ""}
	if !stored.given {
		stored.id = vectorID(uuid.NewString())
	} else if len(n.ID) > textIDMax || strings.Contains(string(n.ID), "#") {
		return stored, within("id", errValue("of a text it has at most "+strconv.Itoa(textIDMax)+" bytes and no #"))
	}
	stored.id = stored.id.plain()
	if p.ids[stored.id] {
		return stored, within("id", errValue("is that of another text of the request"))
	}
	if p.ids == nil {
		p.ids = map[vectorID]bool{}
	}
	p.ids[stored.id] = true
	given, err := ownPayload(n.Payload, n.Metadata)
	if err == nil && given[p.member] != nil {
		err = within("payload."+p.member, errValue("is the text's own"))
	}
	if err != nil {
		return stored, err
	}
	if !cutIt || chunk.Fits(n.Text, cut) {
		if err := p.room(); err != nil {
			return stored, err
		}
		stored.ids = []vectorID{stored.id}
		point := textPoint(stored.id, given, p.member, n.Text)
		point.Vector, point.Vectors = n.Vector, sparseOf(n.Sparse)
		p.list = append(p.list, point)
		return stored, nil
	}
	if n.Vector != nil || len(n.Sparse) > 0 {
		return stored, within("vector", errValue("is of one point, and the text would be stored in chunks: send auto_chunk false, or the chunks"))
	}
	for _, member := range []string{chunkParent, chunkIndex, chunkCount, chunkStart, chunkEnd} {
		if _, taken := given[member]; taken {
			return stored, within("payload."+member, errValue("is what a chunk says of itself"))
		}
	}
	return stored, p.addChunks(&stored, given, n.Text, cut)
}

// addChunks makes the points of a text in chunks.
func (p *pointsOfTexts) addChunks(stored *storedText, given collection.Payload, text string, cut chunk.Options) error {
	stored.chunked = true
	first, each := len(p.list), payloadBytes(given)
	for c := range chunk.All(text, cut) {
		if err := p.room(); err != nil {
			return err
		}
		if p.copied += each; p.copied > chunkPayloadsMax {
			return errTooMuch("the payload comes with every chunk, and the chunks' payloads together are larger than " + strconv.Itoa(chunkPayloadsMax) + " bytes: send less of it, or larger chunks")
		}
		n := len(p.list) - first
		id := stored.id.chunk(n)
		point := textPoint(id, given, p.member, c.Text)
		point.Payload[chunkParent], point.Payload[chunkIndex] = string(stored.id), int64(n)
		point.Payload[chunkStart], point.Payload[chunkEnd] = int64(c.Start), int64(c.End)
		stored.ids, p.list = append(stored.ids, id), append(p.list, point)
	}
	for i := range p.list[first:] {
		p.list[first+i].Payload[chunkCount] = int64(len(p.list) - first)
	}
	return nil
}

// payloadBytes is about how many bytes a copy of a payload takes: of its
// members, and of what they hold when it is stored.
func payloadBytes(p collection.Payload) int {
	const member = 64
	return len(p)*member + storedBytes(map[string]any(p))
}

func storedBytes(v any) int {
	n := 8
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, item := range v {
			n += storedBytes(item)
		}
	case map[string]any:
		for key, item := range v {
			n += len(key) + storedBytes(item)
		}
	}
	return n
}

func errTooMuch(message string) error {
	return &collection.Error{Code: collection.InvalidArgument, Reason: collection.ReasonTooLarge, Message: message}
}

// textPoint is a point of a text, whose payload it shares with no other.
func textPoint(id vectorID, given collection.Payload, member, text string) collection.Point {
	payload := make(collection.Payload, len(given)+2)
	maps.Copy(payload, given)
	payload[member] = text
	point, kept := id.point()
	if kept {
		payload[idMember] = string(id)
	}
	return collection.Point{ID: point, Payload: payload}
}
