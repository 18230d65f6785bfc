package persistence

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/collection"
)

// recorder is a Sink that keeps what it gets.
type recorder struct{ got []string }

// Apply implements Sink.
func (r *recorder) Apply(index uint64, events []collection.Event) {
	var line strings.Builder
	_, _ = fmt.Fprint(&line, index, ":")
	for _, e := range events {
		_, _ = fmt.Fprint(&line, " ", e.Collection, "@", e.Version)
	}
	r.got = append(r.got, line.String())
}

func TestSubscribe(t *testing.T) {
	p := memPartition(t)
	apply(p, script(sevent(1), sevent(2)))
	one, two := &recorder{}, &recorder{}
	v1 := must(p.Subscribe(1, one))(t)
	defer v1.Close()
	apply(p,
		script(sevent(1), sevent(1), sevent(2), sevent(1)),
		script(sevent(1), step{Do: "refuse"}),
		script(sput(2, "a", "1")),
		script(sevent(3)),
		script(sevent(1)),
	)
	v2 := must(p.Subscribe(2, two))(t)
	defer v2.Close()
	if v1.AppliedIndex() != 1 || v2.AppliedIndex() != 6 {
		t.Error(v1.AppliedIndex(), v2.AppliedIndex())
	}
	if _, err := p.Subscribe(1, two); collection.CodeOf(err) != collection.AlreadyExists {
		t.Error(err)
	}
	apply(p, script(sevent(2), sevent(1)))
	p.Unsubscribe(1)
	apply(p, script(sevent(2), sevent(1)))
	want1 := []string{"2: 1@2 1@2", "2: 1@2", "6: 1@6", "7: 1@7"}
	want2 := []string{"7: 2@7", "8: 2@8"}
	if diff := cmp.Diff(want1, one.got) + cmp.Diff(want2, two.got); diff != "" {
		t.Error(diff)
	}
	must(p.Subscribe(1, one))(t).Close()
}

// viewingSink checks that a published view is never older than the events.
type viewingSink struct {
	t *testing.T
	p *Partition
}

// Apply implements Sink.
func (s viewingSink) Apply(index uint64, _ []collection.Event) {
	if published := s.p.published.Load(); published != nil && published.applied < index {
		s.t.Errorf("events of %d beside a view of %d", index, published.applied)
	}
}

func TestSinkIsNeverAheadOfViews(t *testing.T) {
	p := memPartition(t)
	must(p.Subscribe(1, viewingSink{t, p}))(t).Close()
	for range 10 {
		must(p.View())(t).Close()
		apply(p, script(sevent(1)), script(sevent(1)))
	}
}
