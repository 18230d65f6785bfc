package remote_test

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/hubsvc/remote"
)

// A hub that answers the question for events at once, whatever there is, is
// asked every few seconds, and a reset that does not end is said once.
func TestHastyHub(t *testing.T) {
	for name, page := range map[string]string{
		"reset":             `{"events":[],"last":0,"reset":true}`,
		"nothing":           `{"events":[],"last":0,"reset":false}`,
		"reset with events": `{"events":[{"version":1,"kind":"plan.changed","plan":"pro"}],"last":1,"reset":true}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			p, h := newPaper(t, func(o *remote.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			p.events.Store(&page)
			pass(15 * time.Second) // the question that waits is over
			p.polls.Store(0)
			pass(60 * time.Second)
			if n := p.polls.Load(); n < 10 || n > 16 {
				t.Errorf("%s: asked %d times in a minute", name, n)
			}
			if n := bytes.Count(log.Bytes(), []byte("were missed")); n > 1 {
				t.Errorf("%s: warned %d times", name, n)
			}
			next := `{"events":[{"version":2,"kind":"plan.changed","plan":"pro"}],"last":2,"reset":false}`
			p.events.Store(&next)
			pass(6 * time.Second)
			if v := h.State().Event; v != 2 && name == "nothing" {
				t.Errorf("%s: at event %d", name, v)
			}
			h.Stop()
		})
	}
}
