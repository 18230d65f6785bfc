package httpedge

import "math"

// The readers of optional members: null leaves the target as it is, which is
// what an absent member does.

func (s *scanner) stringTo(dst *string) error {
	if s.null() {
		return nil
	}
	b, err := s.str()
	if err == nil {
		*dst = string(b)
	}
	return err
}

// intTo reads an unsigned integer that is at most the largest int32; a larger
// one is kept as that, which is above every limit.
func (s *scanner) intTo(dst *int) error {
	if s.null() {
		return nil
	}
	n, err := s.uint()
	if err == nil {
		*dst = int(min(n, math.MaxInt32))
	}
	return err
}

func (s *scanner) boolTo(dst *bool) error {
	switch c := s.peek(); {
	case c == 't' && s.literal("true"):
		*dst = true
		return nil
	case c == 'f' && s.literal("false"):
		*dst = false
		return nil
	case c == 'n' && s.literal("null"):
		return nil
	}
	return s.mismatch("a boolean")
}

func (s *scanner) float32To(dst **float32) error {
	if s.null() {
		return nil
	}
	f, err := s.float32()
	if err == nil {
		*dst = &f
	}
	return err
}
