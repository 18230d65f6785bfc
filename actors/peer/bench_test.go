package peer

import (
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// BenchmarkRoundTrip sends 1 KB to a node that sends it back.
func BenchmarkRoundTrip(b *testing.B) {
	ca, addresses := newAuthority(b), &book{}
	var back *node
	x := startNode(b, setup{number: 1, cluster: demo, tls: ca.config(b, demo, 1, "n1"), book: addresses, knobs: standard()})
	back = startNode(b, setup{
		number: 2, cluster: demo, tls: ca.config(b, demo, 2, "n2"), book: addresses, knobs: standard(),
		message: func(from uint32, p []byte) { _ = back.Send(from, p) },
	})
	connect(b, x, back)
	instead(x.messages, messageGot{})
	payload := make([]byte, 1024)
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := x.Send(2, payload); err != nil {
			b.Fatal(err)
		}
		<-x.messages
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds())/1000, "p99-µs")
}

// BenchmarkTransfer moves 256 MB from memory to nowhere.
func BenchmarkTransfer(b *testing.B) {
	x, y := pair(b, standard())
	f := func(uint32, []byte, int64) (Sink, error) { return nowhere{newStore()}, nil }
	y.accept.Store(&f)
	const size = 256 << 20
	b.SetBytes(size)
	for b.Loop() {
		if _, err := x.Transfer(within(b), 2, nil, size, endless{}); err != nil {
			b.Fatal(err)
		}
	}
}

type nowhere struct{ *store }

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// BenchmarkAppends sends messages with one entry of 1 KB, a window of them.
func BenchmarkAppends(b *testing.B) {
	x, y := pair(b, standard())
	b.SetBytes(1024)
	window := make(chan struct{}, 1000)
	go func() {
		for range y.rafts {
			<-window
		}
	}()
	defer close(y.rafts)
	data := make([]byte, 1024)
	for b.Loop() {
		m := say(raftpb.MsgApp, 1, 2, 1)
		m.Entries = []*raftpb.Entry{{Term: new(uint64(3)), Index: new(uint64(2)), Data: data}}
		window <- struct{}{}
		x.Raft(2, 1, []*raftpb.Message{m})
	}
	for range cap(window) {
		window <- struct{}{}
	}
}
