package httpedge

import (
	"strconv"
	"strings"
)

// pageMax is the largest page of a list, and that of a request that names none.
const pageMax = 1000

// pageRequest is which part of a list is asked for: what comes after the item
// with index and id, in the order of both.
type pageRequest struct {
	index uint64
	id    string
	limit int
}

// pageRequest reads cursor and limit.
func (r *request) pageRequest() (pageRequest, error) {
	var q pageRequest
	limit, err := r.pageLimit()
	if err != nil {
		return q, err
	}
	q.limit = limit
	if cursor, ok := r.query("cursor"); ok && cursor != "" {
		index, id, found := strings.Cut(cursor, ".")
		if q.index, err = strconv.ParseUint(index, 10, 64); err != nil || !found || id == "" {
			return q, errParameter("query parameters", "cursor: must be the next_cursor of an answer")
		}
		q.id = id
	}
	return q, nil
}

func (r *request) pageLimit() (int, error) {
	given, ok := r.query("limit")
	if !ok || given == "" {
		return pageMax, nil
	}
	n, err := strconv.ParseUint(given, 10, 31)
	if err != nil || n == 0 || n > pageMax {
		return 0, errParameter("query parameters", "limit: must be 1 to "+strconv.Itoa(pageMax))
	}
	return int(n), nil
}

// pageOf returns the part of a list that q asks for, and the cursor for what
// follows; "" when nothing does. position tells an item's place in the order of
// the list.
func pageOf[T any](all []T, q pageRequest, position func(T) (index uint64, id string)) (page []T, next string) {
	for i, item := range all {
		index, id := position(item)
		if index < q.index || index == q.index && id <= q.id {
			continue
		}
		page = all[i:]
		if len(page) > q.limit {
			page = page[:q.limit]
			index, id = position(page[q.limit-1])
			next = strconv.FormatUint(index, 10) + "." + id
		}
		return page, next
	}
	return nil, ""
}

// listed is the body of a page.
func listed(name string, items any, next string) map[string]any {
	body := map[string]any{name: items}
	if next != "" {
		body["next_cursor"] = next
	}
	return body
}
