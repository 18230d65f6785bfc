package peer

import "sync/atomic"

// Stats are the transport's counters since Start.
type Stats struct {
	Lanes [laneCount]LaneStats // by Lane
	// Refused counts connections that were not let in, either way.
	Refused uint64
	// Misdirected counts raft messages whose replicas are not of the two nodes.
	Misdirected uint64
	// ChunksSpoiled counts received chunks with a wrong checksum.
	ChunksSpoiled uint64
}

// LaneStats are the counters of a lane, all peers together.
type LaneStats struct {
	Sent, Received           uint64 // raft messages, payloads and chunks
	BytesSent, BytesReceived uint64 // of frames, before TLS
	Dropped                  uint64 // queue full, not connected, or lost with a connection
	Resets                   uint64 // established connections lost, either way
	QueuedBytes              int64  // of what waits to be sent now
	Connected                int    // connections that were dialled from here
}

type laneCounters struct {
	sent, received, bytesSent, bytesReceived, dropped, resets atomic.Uint64
}

type counters struct {
	lanes                               [laneCount]laneCounters
	refused, misdirected, chunksSpoiled atomic.Uint64
}

// Stats reads the counters and the queues.
func (t *Transport) Stats() Stats {
	s := Stats{
		Refused:       t.counters.refused.Load(),
		Misdirected:   t.counters.misdirected.Load(),
		ChunksSpoiled: t.counters.chunksSpoiled.Load(),
	}
	for i := range t.counters.lanes {
		c := &t.counters.lanes[i]
		s.Lanes[i] = LaneStats{
			Sent: c.sent.Load(), Received: c.received.Load(),
			BytesSent: c.bytesSent.Load(), BytesReceived: c.bytesReceived.Load(),
			Dropped: c.dropped.Load(), Resets: c.resets.Load(),
		}
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range t.mu.peers {
		for i, l := range p.lanes {
			bytes, open := l.queue.state()
			s.Lanes[i].QueuedBytes += int64(bytes)
			if open {
				s.Lanes[i].Connected++
			}
		}
	}
	return s
}
