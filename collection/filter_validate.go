package collection

import (
	"fmt"
	"math"
)

// Validate checks the filter's size against the limits and its values. A nil
// filter is valid.
func (f *Filter) Validate(l Limits) error {
	c := filterCheck{nodesLeft: l.FilterNodes, nodesMax: l.FilterNodes}
	return c.filter(f, "filter", FilterDepthMax)
}

type filterCheck struct {
	nodesLeft, nodesMax int
}

func (c *filterCheck) filter(f *Filter, at string, depthLeft int) error {
	if f == nil {
		return nil
	}
	if depthLeft == 0 {
		return invalid("%s: filter is nested deeper than %d levels", at, FilterDepthMax)
	}
	for _, list := range f.lists() {
		c.nodesLeft -= len(list.conditions)
		if c.nodesLeft < 0 {
			return invalid("%s: filter has more than %d conditions", at, c.nodesMax)
		}
		for i, condition := range list.conditions {
			if err := c.condition(condition, fmt.Sprintf("%s.%s[%d]", at, list.name, i), depthLeft-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// conditionList is one list of a filter by its name on the wire.
type conditionList struct {
	name       string
	conditions []Condition
}

func (f *Filter) lists() []conditionList {
	lists := []conditionList{{"must", f.Must}, {"should", f.Should}, {"must_not", f.MustNot}}
	if f.MinShould != nil {
		lists = append(lists, conditionList{"min_should.conditions", f.MinShould.Conditions})
	}
	return lists
}

func (c *filterCheck) condition(condition Condition, at string, depthLeft int) error {
	switch condition := condition.(type) {
	case *Filter:
		return c.filter(condition, at, depthLeft)
	case Nested:
		if err := checkKey(condition.Key, at); err != nil {
			return err
		}
		return c.filter(condition.Filter, at+".nested.filter", depthLeft)
	case Field:
		if err := checkKey(condition.Key, at); err != nil {
			return err
		}
		return checkPredicate(condition.Is, at)
	case ValuesCount:
		return checkKey(condition.Key, at)
	case IsEmpty:
		return checkKey(condition.Key, at)
	case IsNull:
		return checkKey(condition.Key, at)
	case HasID:
		return checkValues(len(condition.IDs), at+".has_id")
	case HasVector:
		return nil
	}
	panic(fmt.Sprintf("BUG: filter condition of type %T", condition))
}

// checkKey refuses the key of a condition that was not made by ParsePath.
func checkKey(key Path, at string) error {
	if len(key) == 0 || key[0].kind != stepKey {
		return Errorf(InvalidArgument, "%s: Invalid json path: '%s'", at, key)
	}
	return nil
}

func checkValues(n int, at string) error {
	if n > FilterValuesMax {
		return invalid("%s: %d values, the most is %d", at, n, FilterValuesMax)
	}
	return nil
}

func checkPredicate(p Predicate, at string) error {
	switch p := p.(type) {
	case MatchAny:
		return checkValues(len(p.Strings)+len(p.Ints), at+".match.any")
	case MatchExcept:
		return checkValues(len(p.Strings)+len(p.Ints), at+".match.except")
	case GeoBox:
		return checkPoints([]GeoPoint{p.TopLeft, p.BottomRight}, at+".geo_bounding_box")
	case GeoRadius:
		return checkPoints([]GeoPoint{p.Center}, at+".geo_radius")
	case GeoPolygon:
		return checkPolygon(p, at+".geo_polygon")
	case nil:
		return invalid("%s: At least one field condition must be specified", at)
	}
	return nil
}

func checkPoints(points []GeoPoint, at string) error {
	for _, p := range points {
		// Written so that NaN fails.
		if !(math.Abs(p.Lat) <= 90 && math.Abs(p.Lon) <= 180) {
			return Errorf(InvalidArgument, "%s: Wrong format of GeoPoint payload: expected `lat` = %v within [-90;90] and `lon` = %v within [-180;180]",
				at, p.Lat, p.Lon)
		}
	}
	return nil
}

func checkPolygon(g GeoPolygon, at string) error {
	total := 0
	for _, ring := range append([][]GeoPoint{g.Exterior}, g.Interiors...) {
		if len(ring) < 4 {
			return Errorf(InvalidArgument, "%s: polygon invalid, the size must be at least 4, got %d", at, len(ring))
		}
		if ring[0] != ring[len(ring)-1] {
			return Errorf(InvalidArgument, "%s: polygon invalid, the first and the last points should be the same to form a closed line", at)
		}
		if err := checkPoints(ring, at); err != nil {
			return err
		}
		total += len(ring)
	}
	return checkValues(total, at)
}
