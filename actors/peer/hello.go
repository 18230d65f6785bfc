package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"unicode/utf8"
)

const (
	helloMagic    = "wagp"
	helloVersion  = 1
	helloBytesMin = 4 + 2 + 1 + 16 + 4
	nameBytesMax  = 255
)

// passport is who a node is: what its certificate says, and its hello.
type passport struct {
	cluster [16]byte
	number  uint32
	name    string
}

func (p passport) String() string {
	return fmt.Sprintf("node %d %q of cluster %x", p.number, p.name, p.cluster)
}

// hello is the first frame on a connection.
type hello struct {
	passport
	version uint16
	lane    Lane
}

func (h hello) encode() []byte {
	b := []byte(helloMagic)
	b = binary.LittleEndian.AppendUint16(b, h.version)
	b = append(b, byte(h.lane))
	b = append(b, h.cluster[:]...)
	b = binary.LittleEndian.AppendUint32(b, h.number)
	return append(b, h.name...)
}

// decodeHello reads a hello; whether it is true is for check.
func decodeHello(b []byte) (hello, error) {
	if len(b) < helloBytesMin || len(b) > helloBytesMin+nameBytesMax || string(b[:4]) != helloMagic {
		return hello{}, errors.New("malformed hello")
	}
	h := hello{version: binary.LittleEndian.Uint16(b[4:]), lane: Lane(b[6])}
	copy(h.cluster[:], b[7:])
	h.number = binary.LittleEndian.Uint32(b[23:])
	h.name = string(b[helloBytesMin:])
	return h, nil
}

// check holds a hello against what TLS authenticated.
func (h hello) check(want passport) error {
	switch {
	case h.version != helloVersion:
		return fmt.Errorf("speaks version %d of the protocol, this node %d", h.version, helloVersion)
	case h.lane >= laneCount:
		return fmt.Errorf("names %v, which is unknown", h.lane)
	case h.passport != want:
		return fmt.Errorf("hello of %v, certificate of %v", h.passport, want)
	}
	return nil
}

// greet is the dialler's half of the hellos on lane; other is what the
// acceptor's certificate says.
func (t *Transport) greet(conn net.Conn, lane Lane, other passport) error {
	w := frameWriter{conn: conn, timeout: t.knobs.handshake}
	w.frame(kindHello, hello{passport: t.self, version: helloVersion, lane: lane}.encode())
	if err := w.flush(); err != nil {
		return err
	}
	f := frameReader{r: conn, direction: opening}
	k, body, err := f.next()
	if err != nil {
		return fmt.Errorf("read hello: %w", err)
	}
	if k == kindRefused {
		return fmt.Errorf("refused by the other node: %s", printable(body))
	}
	h, err := decodeHello(body)
	if err != nil {
		return err
	}
	if h.lane != lane {
		return fmt.Errorf("asked for %v, greeted on %v", lane, h.lane)
	}
	return h.check(other)
}

// welcome is the acceptor's half. A false hello is answered with the reason; a
// true one is registered before it is answered, so that the connection which
// the dialler made last is the one that stays.
func (t *Transport) welcome(conn net.Conn, other passport, register func(Lane)) error {
	f := frameReader{r: conn, direction: opening}
	k, body, err := f.next()
	if err != nil {
		return fmt.Errorf("read hello: %w", err)
	}
	if k != kindHello {
		return errors.New("refusal in place of a hello")
	}
	h, err := decodeHello(body)
	if err == nil {
		err = h.check(other)
	}
	w := frameWriter{conn: conn, timeout: t.knobs.handshake}
	if err != nil {
		w.frame(kindRefused, []byte(clipped(err.Error(), refusalBytesMax)))
		return errors.Join(err, w.flush())
	}
	register(h.lane)
	w.frame(kindHello, hello{passport: t.self, version: helloVersion, lane: h.lane}.encode())
	return w.flush()
}

func clipped(s string, n int) string {
	return s[:min(len(s), n)]
}

// printable makes text from another node fit for a log line or an error.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r == 0x7f {
			return '?'
		}
		return r
	}, string(b))
}
