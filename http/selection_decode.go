package httpedge

import "github.com/hivehub/waggle/collection"

// selector reads {"points": ids} or {"filter": filter}.
func (p *pointReader) selector() (*collection.Selection, error) {
	var sel collection.Selection
	err := p.object(func(key []byte) error { return p.selection(&sel, key) })
	if err != nil {
		return nil, err
	}
	return settled(&sel, "data did not match any variant of untagged enum PointsSelector")
}

// selection reads the member key of an object that selects points.
func (p *pointReader) selection(sel *collection.Selection, key []byte) (err error) {
	switch string(key) {
	case "points":
		if !p.null() {
			sel.IDs, err = p.ids()
		}
		return err
	case "filter":
		sel.Filter, err = p.filter()
		return err
	case "shard_key":
		return p.absent("shard_key")
	}
	return p.skip()
}

// settled makes exactly one of ids and filter count: the ids when both are
// there. With neither it is an error of the given text.
func settled(sel *collection.Selection, neither string) (*collection.Selection, error) {
	if sel.IDs == nil && sel.Filter == nil {
		return nil, errFormat(neither)
	}
	if sel.IDs != nil {
		sel.Filter = nil
	}
	return sel, nil
}

const noSelection = "Either list of point ids or filter must be provided"

// payloadChange reads {"payload": object, "key": path} and a selection.
func (p *pointReader) payloadChange() (*collection.PayloadChange, error) {
	var change collection.PayloadChange
	given := false
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "payload":
			change.Payload, err = p.payload()
			given = change.Payload != nil
			return err
		case "key":
			return p.pathTo(&change.Path)
		}
		return p.selection(&change.Selection, key)
	})
	if err == nil && !given {
		err = p.fault("missing field `payload`")
	}
	if err == nil {
		_, err = settled(&change.Selection, noSelection)
	}
	return &change, err
}

// keysChange reads {"keys": paths} and a selection.
func (p *pointReader) keysChange() (*collection.KeysChange, error) {
	var change collection.KeysChange
	err := p.object(func(key []byte) (err error) {
		if string(key) == "keys" {
			change.Keys, err = p.paths()
			return err
		}
		return p.selection(&change.Selection, key)
	})
	if err == nil && change.Keys == nil {
		err = p.fault("missing field `keys`")
	}
	if err == nil {
		_, err = settled(&change.Selection, noSelection)
	}
	return &change, err
}

// pathTo reads a path into a payload.
func (s *scanner) pathTo(dst *string) error {
	if err := s.stringTo(dst); err != nil || *dst == "" {
		return err
	}
	_, err := collection.ParsePath(*dst)
	return asFormat(err)
}

// paths reads a list of paths into a payload.
func (s *scanner) paths() ([]string, error) {
	list := []string{}
	err := s.array(func() error {
		b, err := s.str()
		if err != nil {
			return err
		}
		path := string(b)
		list = append(list, path)
		_, err = collection.ParsePath(path)
		return asFormat(err)
	})
	return list, err
}

// payloadSelector reads a bool, a list of paths, {"include": paths} or
// {"exclude": paths}.
func (s *scanner) payloadSelector(dst *collection.PayloadSelector) error {
	switch s.peek() {
	case '[':
		include, err := s.paths()
		*dst = collection.PayloadSelector{Include: include}
		return err
	case '{':
		var sel collection.PayloadSelector
		err := s.object(func(key []byte) (err error) {
			switch string(key) {
			case "include":
				sel.Include, err = s.paths()
			case "exclude":
				sel.Exclude, err = s.paths()
			default:
				err = s.skip()
			}
			return err
		})
		if err == nil && (sel.Include == nil) == (sel.Exclude == nil) {
			err = errFormat("data did not match any variant of untagged enum PayloadSelector")
		}
		sel.All = err == nil && sel.Include == nil && len(sel.Exclude) == 0
		*dst = sel
		return err
	}
	all := dst.All
	err := s.boolTo(&all)
	*dst = collection.PayloadSelector{All: all}
	return err
}

// vectorSelector reads a bool or a list of vector names.
func (s *scanner) vectorSelector(dst *collection.VectorSelector) error {
	if s.peek() != '[' {
		return s.boolTo(&dst.All)
	}
	names, err := s.vectorNames()
	*dst = collection.VectorSelector{Names: names}
	return err
}
