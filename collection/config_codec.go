package collection

import (
	"encoding/binary"
	"math"
)

// A configuration as it is logged and stored, little endian. "Settings" are 4
// bytes of length and as many bytes, see AppendPayload; no bytes: none.
//
//	size  field
//	1     version of the format, 3
//	8     CreatedAt
//	2     number of vectors; for each
//	1       distance
//	4       size
//	4, n    length of the name, name
//	1       OnDisk: 0 not said, 1 false, 2 true
//	4, n    settings
//	2     number of sparse vectors; for each
//	1       1: with IDF, else 0
//	4, n    length of the name, name
//	4, n    settings
//	2     number of texts; for each
//	4, n    length of the name, name
//	4, n    length of the field, field
//	8, 8    K1 and B, float64
//	2, 2    RunesMin and RunesMax
//	2       number of stop words; for each
//	4, n      length of the word, word
//	rest  Extra (see AppendPayload); empty: none
//
// A configuration without texts has version 2, where nothing is said of them.
// A configuration without sparse vectors and without settings of vectors has
// version 1, where a vector ends with its name and nothing is said of sparse
// ones. There "vector" in Extra once held the settings of the vector.
const (
	configVersion  = 1
	configVersion2 = 2
	configVersion3 = 3
)

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

// version is that of the format that c needs.
func (c Config) version() byte {
	if len(c.Text) > 0 {
		return configVersion3
	}
	_, settings := c.Extra[oldSettings]
	if len(c.Sparse) > 0 || len(c.Vectors) == 0 || settings {
		return configVersion2
	}
	for i := range c.Vectors {
		if c.Vectors[i].OnDisk != nil || len(c.Vectors[i].Extra) > 0 {
			return configVersion2
		}
	}
	return configVersion
}

func appendConfig(dst []byte, c Config) ([]byte, error) {
	version := c.version()
	dst = append(dst, version)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.CreatedAt))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.Vectors)))
	for _, v := range c.Vectors {
		n, ok := v.Distance.number()
		if !ok {
			return nil, Errorf(Internal, "distance %q has no number", v.Distance)
		}
		dst = binary.LittleEndian.AppendUint32(append(dst, n), uint32(v.Size))
		dst = appendBytes(dst, v.Name)
		if version == configVersion {
			continue
		}
		var err error
		if dst, err = appendSettings(appendChoice(dst, v.OnDisk), v.Extra); err != nil {
			return nil, err
		}
	}
	if version != configVersion {
		var err error
		if dst, err = appendSparseParams(dst, c.Sparse); err != nil {
			return nil, err
		}
	}
	if version == configVersion3 {
		dst = appendTextParams(dst, c.Text)
	}
	if len(c.Extra) == 0 {
		return dst, nil
	}
	return AppendPayload(dst, c.Extra)
}

func appendTextParams(dst []byte, list []TextParams) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(list)))
	for _, v := range list {
		dst = appendBytes(appendBytes(dst, v.Name), v.Field)
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.K1))
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.B))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(v.RunesMin))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(v.RunesMax))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(v.StopWords)))
		for _, word := range v.StopWords {
			dst = appendBytes(dst, word)
		}
	}
	return dst
}

func (d *decoder) textParams() []TextParams {
	var list []TextParams
	for n := d.u16(); n > 0 && !d.bad; n-- {
		v := TextParams{
			Name: string(d.take(d.u32())), Field: string(d.take(d.u32())),
			K1: math.Float64frombits(d.u64()), B: math.Float64frombits(d.u64()),
			RunesMin: d.u16(), RunesMax: d.u16(),
		}
		for words := d.u16(); words > 0 && !d.bad; words-- {
			v.StopWords = append(v.StopWords, string(d.take(d.u32())))
		}
		d.bad = d.bad || v.badScoring()
		list = append(list, v)
	}
	return list
}

func appendSparseParams(dst []byte, list []SparseParams) ([]byte, error) {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(list)))
	for _, v := range list {
		flags := byte(0)
		if v.IDF {
			flags = 1
		}
		var err error
		if dst, err = appendSettings(appendBytes(append(dst, flags), v.Name), v.Extra); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendSettings appends the length of encoded settings and them.
func appendSettings(dst []byte, settings map[string]any) ([]byte, error) {
	raw, err := encodePayload(settings, nil)
	return appendBytes(dst, raw), err
}

// settings reads what appendSettings wrote.
func (d *decoder) settings() (map[string]any, error) {
	raw := d.take(d.u32())
	if len(raw) == 0 {
		return nil, nil
	}
	return DecodePayload(raw)
}

// appendChoice appends a setting of three states.
func appendChoice(dst []byte, b *bool) []byte {
	switch {
	case b == nil:
		return append(dst, 0)
	case !*b:
		return append(dst, 1)
	}
	return append(dst, 2)
}

func (d *decoder) choice() *bool {
	n := d.u8()
	d.bad = d.bad || n > 2
	if n == 0 {
		return nil
	}
	b := n == 2
	return &b
}

func decodeConfig(b []byte) (Config, error) {
	d := decoder{b: b}
	version := d.u8()
	if version < configVersion || version > configVersion3 {
		return Config{}, Errorf(DataLoss, "configuration: unknown version or cut short")
	}
	c := Config{CreatedAt: int64(d.u64())}
	for n := d.u16(); n > 0 && !d.bad; n-- {
		v, err := d.vectorParams(version)
		if err != nil {
			return Config{}, err
		}
		c.Vectors = append(c.Vectors, v)
	}
	if version != configVersion {
		for n := d.u16(); n > 0 && !d.bad; n-- {
			flags := d.u8()
			v := SparseParams{Name: string(d.take(d.u32())), IDF: flags == 1}
			var err error
			if v.Extra, err = d.settings(); err != nil {
				return Config{}, err
			}
			d.bad = d.bad || flags > 1
			c.Sparse = append(c.Sparse, v)
		}
	}
	if version == configVersion3 {
		c.Text = d.textParams()
	}
	extra := d.rest()
	if d.bad || version == configVersion && len(c.Vectors) == 0 {
		return Config{}, Errorf(DataLoss, "configuration of %d bytes: cut short", len(b))
	}
	if len(extra) == 0 {
		return c, nil
	}
	var err error
	c.Extra, err = DecodePayload(extra)
	if version == configVersion {
		c.splitSettings()
	}
	return c, err
}

func (d *decoder) vectorParams(version byte) (VectorParams, error) {
	number := d.u8()
	if number == 0 || int(number) >= len(distanceNumbers) {
		d.bad = true
		return VectorParams{}, nil
	}
	v := VectorParams{Distance: distanceNumbers[number], Size: d.u32()}
	v.Name = string(d.take(d.u32()))
	if version == configVersion {
		return v, nil
	}
	v.OnDisk = d.choice()
	var err error
	v.Extra, err = d.settings()
	return v, err
}

// oldSettings is where the settings of the vector were.
const oldSettings = "vector"

// splitSettings gives the vector what was kept for it among the collection's
// settings.
func (c *Config) splitSettings() {
	settings, ok := c.Extra[oldSettings].(map[string]any)
	if !ok || len(c.Vectors) != 1 {
		return
	}
	delete(c.Extra, oldSettings)
	v := &c.Vectors[0]
	if on, ok := settings["on_disk"].(bool); ok {
		v.OnDisk = &on
		delete(settings, "on_disk")
	}
	if len(settings) > 0 {
		v.Extra = settings
	}
	if len(c.Extra) == 0 {
		c.Extra = nil
	}
}

// extraBytes is how long all settings that are only kept are when encoded.
func (c Config) extraBytes() (int, error) {
	raw, err := encodePayload(c.Extra, nil)
	size := len(raw)
	for i := range c.Vectors {
		if err == nil {
			raw, err = encodePayload(c.Vectors[i].Extra, nil)
			size += len(raw)
		}
	}
	for i := range c.Sparse {
		if err == nil {
			raw, err = encodePayload(c.Sparse[i].Extra, nil)
			size += len(raw)
		}
	}
	for i := range c.Text {
		size += c.Text[i].bytes()
	}
	return size, err
}
