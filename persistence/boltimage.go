package persistence

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"go.etcd.io/bbolt"
)

const (
	boltImageMagic  = "WGLIMGB1"
	boltImageBlock  = 64 << 10
	boltImageFooter = 8 + 8 + crcBytes
)

// boltImage is the image of a bbolt store, drawn in the package comment, under
// an open read transaction: no page that the transaction can reach is written.
// Pages that were free in it may be, so they read as zeros; and so may the meta
// pages, so they are made of what the transaction knows.
type boltImage struct {
	file     io.ReaderAt
	head     []byte // the meta pages
	size     int64  // of the store in the image
	pageSize int64
	free     []bool // by page

	mu   sync.Mutex
	sums []uint32 // CRC of each block, once known
	have []bool
	tail []byte // what follows the store, once asked for
}

// Image implements Store.
func (s *boltStore) Image() (*Image, error) {
	view, err := s.View()
	if err != nil {
		return nil, err
	}
	v := view.(*boltView)
	i := &boltImage{file: s.file}
	var meta Meta
	err = s.run("image", func() (err error) {
		if meta, err = s.readMeta(v.tx); err != nil {
			return err
		}
		return i.begin(v.tx)
	})
	if err != nil {
		v.Close()
		return nil, err
	}
	blocks := (i.size + boltImageBlock - 1) / boltImageBlock
	i.sums, i.have = make([]uint32, blocks), make([]bool, blocks)
	return &Image{meta: meta, size: i.size + crcBytes*blocks + boltImageFooter, r: i, close: v.Close}, nil
}

// firstWrites keeps n bytes and refuses more.
type firstWrites struct {
	b []byte
	n int
}

var errEnough = errors.New("enough")

// Write implements io.Writer.
func (w *firstWrites) Write(p []byte) (int, error) {
	if len(w.b) >= w.n {
		return 0, errEnough
	}
	w.b = append(w.b, p...)
	return len(p), nil
}

func (i *boltImage) begin(tx *bbolt.Tx) error {
	i.pageSize, i.size = int64(tx.DB().Info().PageSize), tx.Size()
	w := firstWrites{n: int(2 * i.pageSize)}
	if _, err := tx.WriteTo(&w); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if i.size < 2*i.pageSize || len(w.b) != w.n {
		return corrupt("store of %d bytes", i.size)
	}
	i.head = w.b
	meta, ok := decodeBoltMeta(i.head[pageHeader:])
	if !ok || int64(meta.pageSize) != i.pageSize || int64(meta.high)*i.pageSize != i.size {
		return corrupt("meta page of transaction %d", tx.ID())
	}
	c := boltCheck{r: i.file, pageSize: meta.pageSize, seen: make([]bool, meta.high)}
	ids, err := c.freelistPage(meta.freelist)
	if err != nil {
		return err
	}
	clear(c.seen)
	if err := c.markFree(ids); err != nil {
		return err
	}
	i.free = c.seen
	return nil
}

// ReadAt implements io.ReaderAt.
func (i *boltImage) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off < i.size {
		n = int(min(int64(len(p)), i.size-off))
		if err := i.readStore(p[:n], off); err != nil {
			return 0, err
		}
		i.keepSums(p[:n], off)
	}
	if n == len(p) {
		return n, nil
	}
	tail, err := i.end()
	if err != nil {
		return n, err
	}
	if at := off + int64(n) - i.size; at < int64(len(tail)) {
		n += copy(p[n:], tail[at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readStore reads bytes of the store as of the transaction.
func (i *boltImage) readStore(p []byte, off int64) error {
	if n, err := i.file.ReadAt(p, off); n < len(p) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if off < int64(len(i.head)) {
		copy(p, i.head[off:])
	}
	for at := off; at < off+int64(len(p)); {
		page := at / i.pageSize
		next := min((page+1)*i.pageSize, off+int64(len(p)))
		if i.free[page] {
			clear(p[at-off : next-off])
		}
		at = next
	}
	return nil
}

func (i *boltImage) blockAt(block int64) (off, n int64) {
	off = block * boltImageBlock
	return off, min(boltImageBlock, i.size-off)
}

// keepSums notes the checksums of the blocks that are whole in p.
func (i *boltImage) keepSums(p []byte, off int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for block := (off + boltImageBlock - 1) / boltImageBlock; block < int64(len(i.sums)); block++ {
		at, n := i.blockAt(block)
		if at+n > off+int64(len(p)) {
			return
		}
		if !i.have[block] {
			i.sums[block], i.have[block] = crc32.Checksum(p[at-off:][:n], castagnoli), true
		}
	}
}

// end returns what follows the store. It reads what was not read so far.
func (i *boltImage) end() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.tail != nil {
		return i.tail, nil
	}
	var buf [boltImageBlock]byte
	for block := range i.sums {
		if i.have[block] {
			continue
		}
		at, n := i.blockAt(int64(block))
		if err := i.readStore(buf[:n], at); err != nil {
			return nil, err
		}
		i.sums[block], i.have[block] = crc32.Checksum(buf[:n], castagnoli), true
	}
	var tail []byte
	for _, sum := range i.sums {
		tail = binary.LittleEndian.AppendUint32(tail, sum)
	}
	tail = append(tail, boltImageMagic...)
	tail = binary.LittleEndian.AppendUint64(tail, uint64(i.size))
	i.tail = binary.LittleEndian.AppendUint32(tail, crc32.Checksum(tail, castagnoli))
	return i.tail, nil
}

// checkBoltImage compares an image of the given size with its checksums, and
// returns the size of the store in it.
func checkBoltImage(r io.ReaderAt, size int64) (int64, error) {
	footer := make([]byte, boltImageFooter)
	if size < boltImageFooter {
		return 0, corrupt("image of %d bytes", size)
	}
	if n, err := r.ReadAt(footer, size-boltImageFooter); n < len(footer) {
		return 0, corrupt("read the end of the image: %w", err)
	}
	store := int64(binary.LittleEndian.Uint64(footer[8:]))
	blocks := (store + boltImageBlock - 1) / boltImageBlock
	if string(footer[:8]) != boltImageMagic || store <= 0 || store > size || store+blocks*crcBytes+boltImageFooter != size {
		return 0, corrupt("image of %d bytes ends with %x", size, footer)
	}
	table := make([]byte, blocks*crcBytes)
	if n, err := r.ReadAt(table, store); n < len(table) {
		return 0, corrupt("read the checksums of the image: %w", err)
	}
	sum := crc32.Update(crc32.Checksum(table, castagnoli), castagnoli, footer[:16])
	if sum != binary.LittleEndian.Uint32(footer[16:]) {
		return 0, corrupt("checksums of the image: checksum %08x, stored %08x", sum, footer[16:])
	}
	buf := make([]byte, boltImageBlock)
	for block := range blocks {
		b := buf[:min(boltImageBlock, store-block*boltImageBlock)]
		if n, err := r.ReadAt(b, block*boltImageBlock); n < len(b) {
			return 0, corrupt("read block %d of the image: %w", block, err)
		}
		if got, want := crc32.Checksum(b, castagnoli), binary.LittleEndian.Uint32(table[block*crcBytes:]); got != want {
			return 0, corrupt("block %d of the image: checksum %08x, stored %08x", block, got, want)
		}
	}
	return store, nil
}
