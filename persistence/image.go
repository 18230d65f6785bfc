package persistence

import (
	"bytes"
	"io"
	"sync"

	"github.com/hivehub/waggle/collection"
)

// Image is a stable copy of a partition's store as of its last checkpoint, to
// be sent to another replica: reading the same bytes twice gives the same
// bytes, whatever is committed meanwhile. ReadAt is safe for concurrent use.
// While it is open the store cannot reuse the pages that it shows, so the file
// grows with each checkpoint.
type Image struct {
	meta  Meta
	size  int64
	r     io.ReaderAt
	close func()
	once  sync.Once
}

// Meta returns what the image is of.
func (i *Image) Meta() Meta { return i.meta }

// Size returns its length in bytes.
func (i *Image) Size() int64 { return i.size }

// ReadAt implements io.ReaderAt.
func (i *Image) ReadAt(p []byte, off int64) (int, error) { return i.r.ReadAt(p, off) }

// Close gives the store back what the image held. ReadAt must not be called
// any more.
func (i *Image) Close() { i.once.Do(i.close) }

// Image opens the image of the partition's store: of the last checkpoint, not
// of what was applied since. A partition has one at a time; a second one is
// refused with Unavailable, and one of a store without a checkpoint with
// FailedPrecondition.
func (p *Partition) Image() (*Image, error) {
	if !p.imaging.CompareAndSwap(false, true) {
		return nil, collection.Errorf(collection.Unavailable, "an image of the partition is open")
	}
	b := p.base.Load()
	for !b.acquire() {
		b = p.base.Load()
	}
	image, err := b.image()
	if err != nil {
		b.release()
		p.imaging.Store(false)
		return nil, err
	}
	closeStore := image.close
	image.close = func() {
		closeStore()
		b.release()
		p.imaging.Store(false)
	}
	return image, nil
}

func (b *base) image() (*Image, error) {
	if err := b.Err(); err != nil {
		return nil, err
	}
	if b.store.Meta().Applied == 0 {
		return nil, collection.Errorf(collection.FailedPrecondition, "the partition's store is empty")
	}
	image, err := b.store.Image()
	return image, b.fail(err)
}

// Image implements Store.
func (s *memStore) Image() (*Image, error) {
	state := s.state.Load()
	if state.shut {
		return nil, errClosed()
	}
	b := encodeImage(state)
	return &Image{meta: state.meta, size: int64(len(b)), r: bytes.NewReader(b), close: func() {}}, nil
}
