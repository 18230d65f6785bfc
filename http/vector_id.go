package httpedge

import (
	"crypto/sha256"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/hivehub/waggle/collection"
)

// collectionName is the name of a collection in a native request. A request is
// refused whose key is not for every collection that it names, before anything
// looks whether there is one.
type collectionName string

// vectorID is the id of a point as the native API writes it: a string of 1 to
// vectorIDMax bytes. What is written as an unsigned integer or as a UUID is that
// id of the point; any other string is kept in the point's payload, under
// idMember, and the point's id is a UUID made of its hash.
type vectorID string

const (
	vectorIDMax = 256
	idMember    = "_id"
)

// check refuses what is no id.
func (v vectorID) check() error {
	if len(v) == 0 || len(v) > vectorIDMax {
		return errValue("an id of " + strconv.Itoa(len(v)) + " bytes, must be from 1 to " + strconv.Itoa(vectorIDMax))
	}
	if !utf8.ValidString(string(v)) {
		return errValue("an id that is not valid UTF-8")
	}
	for _, c := range v {
		if unicode.IsControl(c) {
			return errValue("an id with a control character")
		}
	}
	return nil
}

// point returns the id of the point, and whether the string has to be kept to
// be shown again. Only the one form in which an id is written back is that id:
// 007 and a UUID without hyphens are strings like others, so that two ids that
// differ are never one point. (Capitals in a UUID are the exception: they are
// written back small.)
func (v vectorID) point() (id collection.PointID, kept bool) {
	if n, err := strconv.ParseUint(string(v), 10, 64); err == nil && strconv.FormatUint(n, 10) == string(v) {
		return collection.NumID(n), false
	}
	if len(v) == 36 && v[8] == '-' {
		if id, err := collection.ParseUUID(string(v)); err == nil {
			return id, false
		}
	}
	sum := sha256.Sum256([]byte(v))
	u := [16]byte(sum[:16])
	u[6] = u[6]&0x0f | 0x80 // version 8: RFC 9562, section 5.8
	u[8] = u[8]&0x3f | 0x80
	return collection.UUID(u), true
}

// shownID returns a point's id as the native API writes it. What stands in the
// payload counts only where it makes this id: whoever writes payloads through
// another surface can claim anything.
func shownID(id collection.PointID, payload collection.Payload) vectorID {
	if word, ok := keptID(id, payload); ok {
		return word
	}
	return vectorID(id.String())
}

// keptID returns the string that a point's id was made of, if it is in its payload.
func keptID(id collection.PointID, payload collection.Payload) (vectorID, bool) {
	word, ok := payload[idMember].(string)
	if !ok {
		return "", false
	}
	made, kept := vectorID(word).point()
	return vectorID(word), kept && made == id
}

// vectorID reads an id: a string, or an unsigned integer.
func (p *nativeReader) vectorID() (string, error) {
	if p.peek() == '"' {
		b, err := p.str()
		if err != nil {
			return "", err
		}
		return string(b), vectorID(b).check()
	}
	n, err := p.uint()
	return strconv.FormatUint(n, 10), err
}
