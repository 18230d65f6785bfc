package tenant

import (
	"errors"

	"github.com/cespare/xxhash/v2"
)

// IDBytesMax is the length of the longest tenant id.
const IDBytesMax = 63

// ErrID is the answer to an id that is not of the form ID documents.
var ErrID = errors.New("tenant id must be 1 to 63 of [a-z0-9_-] and begin with a letter or digit")

// ParseID returns s as an ID, or ErrID.
func ParseID(s string) (ID, error) {
	if s == "" || len(s) > IDBytesMax || s[0] == '_' || s[0] == '-' {
		return "", ErrID
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return "", ErrID
		}
	}
	return ID(s), nil
}

// Partition is where a tenant lives unless its record says otherwise:
// xxhash64(id) mod partitions.
func (id ID) Partition(partitions uint32) uint32 {
	return uint32(xxhash.Sum64String(string(id)) % uint64(partitions))
}
