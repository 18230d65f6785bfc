package nodelog

import "go.etcd.io/raft/v3/raftpb"

// entryBytes is roughly what an entry holds of memory beside its data.
const entryBytes = 128

// cache is the queue in which the groups' recent entries leave memory: first
// in, first out, over all groups. The writer owns it; the entries themselves
// are in the groups.
type cache struct {
	bytes int64
	queue []cached
	head  int // of queue: what is before it has left
}

// cached is what one append brought.
type cached struct {
	group *Group
	last  uint64
}

func entriesBytes(entries []*raftpb.Entry) int64 {
	n := int64(0)
	for _, e := range entries {
		n += int64(len(e.Data)) + entryBytes
	}
	return n
}

func (c *cache) push(g *Group, last uint64, bytes int64) {
	c.bytes += bytes
	c.queue = append(c.queue, cached{g, last})
}

// makeRoom lets the oldest entries go until size more bytes fit, or nothing is
// left.
func (c *cache) makeRoom(size, limit int64) {
	for c.bytes+size > limit && c.head < len(c.queue) {
		oldest := &c.queue[c.head]
		c.bytes -= oldest.group.forget(oldest.last)
		*oldest = cached{}
		c.head++
	}
	if c.head > len(c.queue)/2 {
		c.queue = c.queue[:copy(c.queue, c.queue[c.head:])]
		c.head = 0
	}
}
