package collection

// parseField reads a condition on the values at a key.
func parseField(n node) (Condition, error) {
	key, err := parseKey(n)
	if err != nil {
		return nil, err
	}
	var conditions []Condition
	for _, parse := range []func(node, Path) (Condition, error){
		parsePredicate("match", parseMatch),
		parsePredicate("range", parseRange),
		parsePredicate("geo_bounding_box", parseGeoBox),
		parsePredicate("geo_radius", parseGeoRadius),
		parsePredicate("geo_polygon", parseGeoPolygon),
		parseValuesCount,
		parseIsEmpty,
		parseIsNull,
	} {
		condition, err := parse(n, key)
		if err != nil {
			return nil, err
		}
		if condition != nil {
			conditions = append(conditions, condition)
		}
	}
	switch len(conditions) {
	case 0:
		return nil, invalid("%s: At least one field condition must be specified", n.at)
	case 1:
		return conditions[0], nil
	}
	return &Filter{Should: conditions}, nil
}

// parsePredicate makes the reader of a predicate in the field name: its
// condition is nil where the field is not there.
func parsePredicate(name string, read func(node) (Predicate, error)) func(node, Path) (Condition, error) {
	return func(n node, key Path) (Condition, error) {
		inner, ok := n.field(name)
		if !ok {
			return nil, nil
		}
		p, err := read(inner)
		return Field{key, p}, err
	}
}

func parseValuesCount(n node, key Path) (Condition, error) {
	inner, ok := n.field("values_count")
	if !ok {
		return nil, nil
	}
	b, err := parseBounds(inner, parseCount)
	return ValuesCount{key, b}, err
}

func parseIsEmpty(n node, key Path) (Condition, error) {
	return parseState(n, "is_empty", IsEmpty{key})
}

func parseIsNull(n node, key Path) (Condition, error) {
	return parseState(n, "is_null", IsNull{key})
}

// parseState reads {"is_null": true}, which is the condition, or false, which
// is its opposite.
func parseState(n node, name string, condition Condition) (Condition, error) {
	inner, ok := n.field(name)
	if !ok {
		return nil, nil
	}
	is, err := scalarNode[bool](inner)
	if is || err != nil {
		return condition, err
	}
	return &Filter{MustNot: []Condition{condition}}, nil
}

func parseMatch(n node) (Predicate, error) {
	if inner, ok := n.field("value"); ok {
		switch v := inner.v.(type) {
		case string:
			return MatchString(v), nil
		case int64:
			return MatchInt(v), nil
		case bool:
			return MatchBool(v), nil
		}
	} else if inner, ok := n.field("text"); ok {
		text, err := scalarNode[string](inner)
		return MatchText(text), err
	} else if inner, ok := n.field("any"); ok {
		values, err := parseValues(inner)
		return MatchAny{values}, err
	} else if inner, ok := n.field("except"); ok {
		values, err := parseValues(inner)
		return MatchExcept{values}, err
	}
	return nil, n.errorf("data did not match any variant of untagged enum MatchInterface")
}

// parseValues reads a list of strings or a list of integers.
func parseValues(n node) (Values, error) {
	if elements, ok := n.v.([]any); ok && len(elements) > 0 {
		if _, ok := elements[0].(int64); ok {
			ints, err := listOf(n, scalarNode[int64])
			return Values{Ints: ints}, err
		}
	}
	strings, err := listOf(n, scalarNode[string])
	return Values{Strings: strings}, err
}

// parseRange reads a range of dates when one bound is a string, else one of
// numbers.
func parseRange(n node) (Predicate, error) {
	for _, key := range []string{"lt", "gt", "lte", "gte"} {
		bound, _ := n.field(key)
		if _, isString := bound.v.(string); isString {
			b, err := parseBounds(n, parseDatetimeNode)
			return DatetimeRange{b}, err
		}
	}
	b, err := parseBounds(n, parseFloat)
	return Range{b}, err
}

func parseDatetimeNode(n node) (int64, error) {
	s, err := scalarNode[string](n)
	if err != nil {
		return 0, err
	}
	t, ok := ParseDatetime(s)
	if !ok {
		return 0, n.errorf("'%s' does not match accepted datetime format (RFC3339). Example: 2014-01-01T00:00:00Z", clip(s))
	}
	return t, nil
}

func parseFloat(n node) (float64, error) {
	switch v := n.v.(type) {
	case int64:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, n.errorf("invalid type: %s, expected f64", jsonTypeOf(n.v))
}

// requiredAs reads a field that has to be there.
func requiredAs[T any](n node, key string, read func(node) (T, error)) (T, error) {
	inner, err := n.required(key)
	if err != nil {
		var none T
		return none, err
	}
	return read(inner)
}

func parseGeoPoint(n node) (p GeoPoint, err error) {
	if p.Lon, err = requiredAs(n, "lon", parseFloat); err != nil {
		return p, err
	}
	p.Lat, err = requiredAs(n, "lat", parseFloat)
	return p, err
}

func parseGeoBox(n node) (Predicate, error) {
	topLeft, err := requiredAs(n, "top_left", parseGeoPoint)
	if err != nil {
		return nil, err
	}
	bottomRight, err := requiredAs(n, "bottom_right", parseGeoPoint)
	return GeoBox{topLeft, bottomRight}, err
}

func parseGeoRadius(n node) (Predicate, error) {
	center, err := requiredAs(n, "center", parseGeoPoint)
	if err != nil {
		return nil, err
	}
	metres, err := requiredAs(n, "radius", parseFloat)
	return GeoRadius{center, metres}, err
}

func parseRing(n node) ([]GeoPoint, error) {
	return requiredAs(n, "points", func(n node) ([]GeoPoint, error) { return listOf(n, parseGeoPoint) })
}

func parseGeoPolygon(n node) (Predicate, error) {
	var g GeoPolygon
	var err error
	if g.Exterior, err = requiredAs(n, "exterior", parseRing); err != nil {
		return nil, err
	}
	if inner, ok := n.field("interiors"); ok {
		g.Interiors, err = listOf(inner, parseRing)
	}
	return g, err
}
