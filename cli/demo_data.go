package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// side is the width and height of an image.
const (
	side   = 28
	pixels = side * side
)

// classNames are the data set's classes by label.
var classNames = [10]string{
	"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
}

// image is one picture, a byte a pixel.
type image [pixels]uint8

func (im *image) vector() []float32 {
	v := make([]float32, pixels)
	for i, p := range im {
		v[i] = float32(p)
	}
	return v
}

// imageSet is one half of the data set.
type imageSet struct {
	images []image
	labels []uint8 // 0 to 9, by image
}

// readImageSet reads PREFIX-images-idx3-ubyte.gz and its labels from dir.
func readImageSet(dir, prefix string) (imageSet, error) {
	raw, err := readIDX(filepath.Join(dir, prefix+"-images-idx3-ubyte.gz"), 3)
	if err != nil {
		return imageSet{}, fmt.Errorf("%w (on Debian: apt-get install dataset-fashion-mnist)", err)
	}
	labels, err := readIDX(filepath.Join(dir, prefix+"-labels-idx1-ubyte.gz"), 1)
	if err != nil {
		return imageSet{}, err
	}
	s := imageSet{images: make([]image, len(raw)/pixels), labels: labels}
	if len(raw) != len(labels)*pixels {
		return imageSet{}, fmt.Errorf("%s: %d labels for %d bytes of images", prefix, len(labels), len(raw))
	}
	for i := range s.images {
		copy(s.images[i][:], raw[i*pixels:])
		if labels[i] >= uint8(len(classNames)) {
			return imageSet{}, fmt.Errorf("%s: label %d of image %d is unknown", prefix, labels[i], i)
		}
	}
	return s, nil
}

// readIDX reads a gzipped IDX file of unsigned bytes with the given number of
// dimensions: magic 0, 0, 8, n, then n sizes of 4 bytes, big endian, then the
// bytes. Images must be 28 x 28.
func readIDX(path string, dimensions byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, 1<<28))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	head := 4 + 4*int(dimensions)
	if len(raw) < head || !bytes.Equal(raw[:4], []byte{0, 0, 8, dimensions}) {
		return nil, fmt.Errorf("%s: not an IDX file of bytes with %d dimensions", path, dimensions)
	}
	size := 1
	for i := 4; i < head; i += 4 {
		n := int(binary.BigEndian.Uint32(raw[i:]))
		if i > 4 && n != side {
			return nil, fmt.Errorf("%s: images are not %d x %d", path, side, side)
		}
		size *= n
	}
	if len(raw)-head != size {
		return nil, fmt.Errorf("%s: %d bytes of data, %d announced", path, len(raw)-head, size)
	}
	return raw[head:], nil
}
