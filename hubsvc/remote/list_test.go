package remote_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hivehub/waggle/hubsvc"
)

// A list of the hub that goes round, that is too long or that is too large is an
// error long before it has filled the memory.
func TestListsHaveBounds(t *testing.T) {
	row := func(n int64) string { return fmt.Sprintf(`{"collection_id":"%d","name":"n"}`, n) }
	for name, c := range map[string]struct {
		rows, padding, asked int
		next                 func(n int64) string
	}{
		"cursor that stays":    {1, 0, 2, func(int64) string { return "x" }},
		"cursors in a circle":  {1, 0, 4, func(n int64) string { return string(rune('a' + n%3)) }},
		"too many rows":        {30_000, 0, 4, func(n int64) string { return fmt.Sprint(n) }},
		"too many bytes":       {1, 4_000_000, 17, func(n int64) string { return fmt.Sprint(n) }},
		"the end is not there": {1, 0, 1000, func(n int64) string { return fmt.Sprint(n) }},
	} {
		h := newHub(t)
		n := h.client(nil)
		var asked atomic.Int64
		h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/collections") {
				return false
			}
			at := asked.Add(1)
			_, _ = io.WriteString(w, `{"tenant_id":"`+string(h.acme)+`","next_cursor":"`+c.next(at)+`","collections":[`+row(at)+
				strings.Repeat(","+row(at), c.rows-1)+`],"more":"`+strings.Repeat("x", c.padding)+`"}`)
			return true
		})
		got, err := n.ListCollectionRecords(t.Context(), h.acme)
		if code(err) != hubsvc.CodeUnavailable || got != nil || asked.Load() != int64(c.asked) {
			t.Errorf("%s: %d rows, %v, after %d pages; want %d", name, len(got), err, asked.Load(), c.asked)
		}
		n.Stop()
	}
}
