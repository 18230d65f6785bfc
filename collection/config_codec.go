package collection

import "encoding/binary"

// A configuration as it is logged and stored, little endian:
//
//	size  field
//	1     version of the format, 1
//	8     CreatedAt
//	2     number of vectors; for each
//	1       distance
//	4       size
//	4, n    length of the name, name
//	rest  Extra (see AppendPayload); empty: none
const configVersion = 1

// distanceNumbers are the distances as stored: a distance's number is its
// place here. Append, never reorder.
var distanceNumbers = [...]Distance{1: Cosine, 2: Euclid, 3: Dot, 4: Manhattan}

func (d Distance) number() (byte, bool) {
	for i, known := range distanceNumbers {
		if i > 0 && d == known {
			return byte(i), true
		}
	}
	return 0, false
}

func appendConfig(dst []byte, c Config) ([]byte, error) {
	dst = append(dst, configVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.CreatedAt))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.Vectors)))
	for _, v := range c.Vectors {
		n, ok := v.Distance.number()
		if !ok {
			return nil, Errorf(Internal, "distance %q has no number", v.Distance)
		}
		dst = binary.LittleEndian.AppendUint32(append(dst, n), uint32(v.Size))
		dst = appendBytes(dst, v.Name)
	}
	if len(c.Extra) == 0 {
		return dst, nil
	}
	return AppendPayload(dst, c.Extra)
}

func decodeConfig(b []byte) (Config, error) {
	d := decoder{b: b}
	if d.u8() != configVersion {
		return Config{}, Errorf(DataLoss, "configuration: unknown version or cut short")
	}
	c := Config{CreatedAt: int64(d.u64())}
	for n := d.u16(); n > 0 && !d.bad; n-- {
		number := d.u8()
		if number == 0 || int(number) >= len(distanceNumbers) {
			d.bad = true
			break
		}
		v := VectorParams{Distance: distanceNumbers[number], Size: d.u32()}
		v.Name = string(d.take(d.u32()))
		c.Vectors = append(c.Vectors, v)
	}
	extra := d.rest()
	if d.bad || len(c.Vectors) == 0 {
		return Config{}, Errorf(DataLoss, "configuration of %d bytes: cut short", len(b))
	}
	if len(extra) == 0 {
		return c, nil
	}
	var err error
	c.Extra, err = DecodePayload(extra)
	return c, err
}
