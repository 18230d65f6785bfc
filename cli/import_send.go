package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hivehub/waggle/client"
)

// batchBytesMax is how much of the input one request takes, but for one row that
// is larger.
const batchBytesMax = 4 << 20

// parcel is what one request stores: vectors, or texts.
type parcel struct {
	from    int // rows of the input before it
	rows    int
	size    int // bytes of the input
	vectors []client.Vector
	texts   []client.Text
}

// sender sends rows in parcels, several at a time. At most parallel parcels are
// under way, and one waits.
type sender struct {
	collection      *client.Collection
	batch, parallel int
	skip, limit     int
	bar             *bar
	byBytes         bool // the bar counts bytes of the input, not rows

	rows, points int // that are stored
	through      int // all rows of the input before this one are passed over or stored

	mu    sync.Mutex  // of the four above and below, while parcels are under way
	ahead map[int]int // parcels that are stored behind one that is not, by from
}

// send reads all rows and stores them. After an error, through says how many rows
// at the beginning of the input are stored.
func (s *sender) send(whole context.Context, src *source) error {
	ctx, cancel := context.WithCancelCause(whole)
	defer cancel(nil)
	s.ahead = map[int]int{}
	parcels := make(chan *parcel)
	var wg sync.WaitGroup
	for range s.parallel {
		wg.Go(func() {
			for p := range parcels {
				if ctx.Err() != nil {
					continue // the rest is not sent
				}
				// What is under way when another one fails goes on to its end.
				if err := s.store(whole, p); err != nil {
					cancel(fmt.Errorf("rows %d to %d: %w", p.from+1, p.from+p.rows, err))
				}
			}
		})
	}
	err := s.read(ctx, src, parcels)
	close(parcels)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause // it came before the end, or instead of it
	}
	return err
}

// read makes parcels of the rows.
func (s *sender) read(ctx context.Context, src *source, parcels chan<- *parcel) error {
	p := &parcel{}
	flush := func(at int) error {
		if p.rows > 0 {
			select {
			case parcels <- p:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		p = &parcel{from: at}
		return nil
	}
	for n := 0; s.limit == 0 || n < s.skip+s.limit; n++ {
		r, err := src.next()
		if errors.Is(err, io.EOF) {
			return flush(n)
		}
		if err != nil {
			return errors.Join(flush(n), fmt.Errorf("row %d: %w", n+1, err))
		}
		if n < s.skip {
			s.passOver(n+1, r.size)
			p.from = n + 1
			continue
		}
		if p.rows == s.batch || p.size > 0 && p.size+r.size > batchBytesMax || p.rows > 0 && (r.text != nil) != (p.texts != nil) {
			if err := flush(n); err != nil {
				return err
			}
		}
		p.add(&r)
	}
	return flush(s.skip + s.limit)
}

func (s *sender) passOver(through, size int) {
	s.mu.Lock()
	s.through = through
	s.mu.Unlock()
	s.draw(1, size)
}

func (s *sender) draw(rows, size int) {
	if s.byBytes {
		rows = size
	}
	s.bar.add(rows)
}

// add takes a row. Without an id it gets one here, so that a request can be sent
// again without storing it twice.
func (p *parcel) add(r *row) {
	p.rows++
	p.size += r.size
	if r.ID == "" {
		r.ID = newUUID()
	}
	if r.text == nil {
		p.vectors = append(p.vectors, r.Vector)
		return
	}
	p.texts = append(p.texts, client.Text{ID: r.ID, Text: *r.text, Values: r.Values, Sparse: r.Sparse, Payload: r.Payload})
}

// newUUID is a random UUID (version 4).
func newUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// store sends a parcel and notes that it is stored.
func (s *sender) store(ctx context.Context, p *parcel) error {
	points := p.rows
	if p.texts != nil {
		done, err := s.collection.InsertTexts(ctx, p.texts, client.Chunking{})
		if err != nil {
			return err
		}
		points = 0
		for i := range done {
			points += len(done[i].VectorIDs)
		}
	} else if _, err := s.collection.InsertVectors(ctx, p.vectors); err != nil {
		return err
	}
	s.mu.Lock()
	s.rows += p.rows
	s.points += points
	s.ahead[p.from] = p.rows
	for rows, ok := s.ahead[s.through]; ok; rows, ok = s.ahead[s.through] {
		delete(s.ahead, s.through)
		s.through += rows
	}
	s.mu.Unlock()
	s.draw(p.rows, p.size)
	return nil
}
