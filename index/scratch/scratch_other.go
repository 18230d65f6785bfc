//go:build !linux

package scratch

import "os"

// Space is scratch space. It is safe for any number of readers beside one
// writer.
type Space struct{ *os.File }

// Open makes scratch space on the disk of a directory.
func Open(dir string) (*Space, error) {
	f, err := named(dir)
	if err != nil {
		return nil, err
	}
	return &Space{f}, nil
}

// Allocate implements index.Scratch. A full disk shows at a write instead.
func (s *Space) Allocate(size int64) error { return s.Truncate(size) }
