package httpedge

import (
	"slices"

	"github.com/hivehub/waggle/collection"
)

// someFilter refuses a filter that is not there, or that every point passes by
// its form: by mistake it would be about everything.
func someFilter(f *collection.Filter) error {
	if f == nil || filterSays(f) == always {
		return errValue("filter: must have a condition that not every vector passes")
	}
	return nil
}

// says is what the form of a condition says of all points.
type says uint8

const (
	sometimes says = iota // it depends on the point
	always                // every point passes
	never                 // none does
)

func filterSays(f *collection.Filter) says {
	if f == nil {
		return always
	}
	all := []says{
		ofAll(f.Must, always, never),
		ofAll(f.MustNot, never, always),
		ofSome(f.Should, 1),
	}
	if f.MinShould != nil {
		all = append(all, ofSome(f.MinShould.Conditions, f.MinShould.Count))
	}
	switch {
	case slices.Contains(all, never):
		return never
	case slices.Contains(all, sometimes):
		return sometimes
	}
	return always
}

// ofAll is of conditions that all have to say good; one that says bad decides.
func ofAll(conditions []collection.Condition, good, bad says) says {
	all := always
	for _, c := range conditions {
		switch conditionSays(c) {
		case bad:
			return never
		case good:
		default:
			all = sometimes
		}
	}
	return all
}

// ofSome is of conditions of which so many have to pass, if there are any.
func ofSome(conditions []collection.Condition, count uint64) says {
	var passed, may uint64
	for _, c := range conditions {
		switch conditionSays(c) {
		case always:
			passed++
			may++
		case sometimes:
			may++
		case never:
		}
	}
	switch {
	case len(conditions) == 0 || passed >= count:
		return always
	case may < count:
		return never
	}
	return sometimes
}

func conditionSays(c collection.Condition) says {
	switch c := c.(type) {
	case *collection.Filter:
		return filterSays(c)
	case collection.HasID:
		if len(c.IDs) == 0 {
			return never
		}
	case collection.Nested:
		if filterSays(c.Filter) == never {
			return never
		}
	case collection.Field:
		if any, is := c.Is.(collection.MatchAny); is && len(any.Strings)+len(any.Ints) == 0 {
			return never
		}
	}
	return sometimes
}
