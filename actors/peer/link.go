package peer

import "encoding/binary"

// link is the writing side of one established connection. It belongs to the
// lane's goroutine.
type link struct {
	*lane
	w     frameWriter
	epoch uint64
	batch []item

	large  []item // payloads on Bulk that are cut into pieces, the first partly sent
	offset int    // of the first
	number uint32 // of the first, so that the receiver sees where one ends
}

// round sends what is there now, on Bulk one piece of each sort, and reports
// whether there was something.
func (k *link) round() (bool, error) {
	switch k.which {
	case Heartbeats, Appends:
		return k.envelopes()
	case Requests:
		return k.frames(&k.queue)
	}
	controlled, err := k.frames(&k.control)
	if err != nil {
		return false, err
	}
	pieced, err := k.piece()
	if err != nil {
		return false, err
	}
	select {
	case c := <-k.chunks:
		return true, k.chunk(c)
	default:
		return controlled || pieced, nil
	}
}

func (k *link) flush() error {
	k.counters().bytesSent.Add(uint64(len(k.w.buf)))
	return k.w.flush()
}

// envelopes sends the raft messages that wait: one envelope, or several of
// about envelopeBytes.
func (k *link) envelopes() (bool, error) {
	batch := k.queue.take(k.batch[:0])
	k.batch = batch
	defer clear(batch)
	for len(batch) > 0 {
		n, bytes := 0, 0
		start := k.w.open(kindRaft)
		for n < len(batch) && (n == 0 || len(k.w.buf)+batch[n].bytes <= envelopeBytes) {
			k.envelop(start, batch[n])
			bytes += batch[n].bytes
			n++
		}
		k.w.close(start)
		if err := k.flush(); err != nil {
			k.counters().dropped.Add(uint64(len(batch)))
			return false, err
		}
		k.queue.written(bytes)
		batch = batch[n:]
	}
	return len(k.batch) > 0, nil
}

// envelop adds a message to the envelope that began at start. One that no
// frame carries is dropped: it would cost the connection.
func (k *link) envelop(start int, i item) {
	before := len(k.w.buf)
	b, err := appendEnvelope(k.w.buf, i.group, i.msg)
	if err == nil && len(b)-start-headBytes > bodyMax(carrying, k.which, kindRaft) {
		err = ErrTooLarge
	}
	if err != nil {
		k.w.buf = b[:before]
		k.counters().dropped.Add(1)
		k.t.log.Error("raft message cannot be sent", "group", i.group, "type", i.msg.GetType(), "bytes", i.bytes, "err", err)
		return
	}
	k.w.buf = b
	k.counters().sent.Add(1)
}

// frames sends the whole frames that wait in q.
func (k *link) frames(q *queue) (bool, error) {
	batch := q.take(k.batch[:0])
	k.batch = batch
	defer clear(batch)
	bytes := 0
	for n, i := range batch {
		k.w.frame(i.kind, i.data)
		bytes += i.bytes
		if len(k.w.buf) < writeBytes && n < len(batch)-1 {
			continue
		}
		if err := k.flush(); err != nil {
			k.counters().dropped.Add(uint64(len(batch) - n))
			return false, err
		}
		q.written(bytes)
		bytes = 0
	}
	if q == &k.queue {
		k.counters().sent.Add(uint64(len(batch)))
	}
	return len(batch) > 0, nil
}

// piece sends the next part of the first large payload.
func (k *link) piece() (bool, error) {
	if len(k.large) == 0 {
		k.large = k.queue.take(k.large[:0])
	}
	if len(k.large) == 0 {
		return false, nil
	}
	first := k.large[0]
	n := min(pieceBytes, len(first.data)-k.offset)
	start := k.w.open(kindPiece)
	k.w.buf = appendPieceHead(k.w.buf, k.number, uint32(len(first.data)), uint32(k.offset))
	k.w.buf = append(k.w.buf, first.data[k.offset:k.offset+n]...)
	k.w.close(start)
	if err := k.flush(); err != nil {
		return false, err
	}
	if k.offset += n; k.offset == len(first.data) {
		k.counters().sent.Add(1)
		k.queue.written(first.bytes)
		k.large[0] = item{}
		k.large, k.offset, k.number = k.large[1:], 0, k.number+1
	}
	return true, nil
}

// abandon counts the payloads that the connection did not live to send.
func (k *link) abandon() { k.counters().dropped.Add(uint64(len(k.large))) }

// chunk sends a frame of a transfer, unless it was made for an earlier
// connection.
func (k *link) chunk(c sentChunk) error {
	defer c.release()
	if c.epoch != k.epoch {
		return nil
	}
	k.counters().bytesSent.Add(uint64(len(*c.frame)))
	k.counters().sent.Add(1)
	return k.w.write(*c.frame)
}

// sentChunk is a whole chunk or end frame on its way from Transfer to a
// connection. Its buffer comes from chunkPool.
type sentChunk struct {
	epoch uint64
	frame *[]byte
}

func (c sentChunk) release() { chunkPool.Put(c.frame) }

// seal puts the length of the frame in front.
func (c sentChunk) seal() {
	binary.LittleEndian.PutUint32(*c.frame, uint32(len(*c.frame)-4))
}
