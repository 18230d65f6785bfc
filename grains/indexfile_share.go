package grains

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
)

// The leader's node builds a graph; the nodes of the other replicas get its file
// when it is written, so that a search after a fail-over loads a graph and does
// not build one. Files are a cache: a transfer that fails is not repeated, and
// the next file makes up for it.
const (
	transferIndex = 'x'         // the kind of transfer, see actors.Node.Transfer
	shareTimeout  = time.Minute // other graphs wait meanwhile to be written
	shareMetaSize = 16          // partition, collection: little-endian,
	shareMetaMore = 18          // and the vector, unless it is the first
)

// share sends a vector's file to the other nodes of its partition.
func (c *Client) share(h *handle, t *table) {
	if c.options.Topology == nil || !h.replica.Leads() {
		return
	}
	k := t.fileKey(h)
	p, _ := c.options.Topology.Topology().Placement(h.replica.Group())
	for _, r := range p.Replicas {
		if to := r.ID.Member(); to != c.node.Number() && c.node.Connected(to) {
			if err := c.sendFile(c.background, k, to); err != nil && c.background.Err() == nil {
				c.log.Debug("an index file was not taken by another node", "node", to, "err", err)
			}
		}
	}
}

// sendFile sends the graph of a file, without the header.
func (c *Client) sendFile(ctx context.Context, k fileKey, to uint32) error {
	file, err := c.files.open(k)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	size, err := file.Size()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	body := io.NewSectionReader(file, fileHeaderBytes, size-fileHeaderBytes)
	_, err = c.node.Transfer(ctx, to, transferIndex, k.meta(), size-fileHeaderBytes, body)
	return err
}

// meta is what goes before the file of a vector.
func (k fileKey) meta() []byte {
	meta := binary.LittleEndian.AppendUint64(nil, k.partition)
	meta = binary.LittleEndian.AppendUint64(meta, k.collection)
	if k.vector != 0 {
		meta = binary.LittleEndian.AppendUint16(meta, k.vector)
	}
	return meta
}

func parseMeta(meta []byte) (k fileKey, ok bool) {
	if len(meta) != shareMetaSize && len(meta) != shareMetaMore {
		return k, false
	}
	k = fileKey{partition: binary.LittleEndian.Uint64(meta), collection: binary.LittleEndian.Uint64(meta[8:])}
	if len(meta) == shareMetaMore {
		k.vector = binary.LittleEndian.Uint16(meta[shareMetaSize:])
	}
	return k, true
}

// receiveFile takes a file of a collection whose partition has a replica here.
// It is an actors.TransferHandler.
func (c *Client) receiveFile(_ uint32, meta []byte, size int64) (actors.Sink, error) {
	k, ok := parseMeta(meta)
	if !ok || size <= 0 {
		return nil, collection.Errorf(collection.InvalidArgument, "not an index file")
	}
	if c.files.disk == nil || k.partition >= uint64(c.node.Partitions()) || !c.node.Partition(k.partition).Here() {
		return nil, collection.Errorf(collection.NotFound, "the partition is not here")
	}
	return c.files.receive(k, size)
}

// open opens the file that counts.
func (f *indexFiles) open(k fileKey) (disk.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	number, ok := f.known[k]
	if f.disk == nil || !ok {
		return nil, fs.ErrNotExist
	}
	return f.disk.Open(k.name(number))
}

// incomingFile is a file on its way in: it becomes the collection's when it is
// whole. Its content is checked when it is loaded, as every file's.
type incomingFile struct {
	files  *indexFiles
	key    fileKey
	size   int64
	number uint64
	temp   string
	file   disk.File
}

// receive begins a file that another node sends.
func (f *indexFiles) receive(k fileKey, size int64) (*incomingFile, error) {
	f.mu.Lock()
	number, isBusy := f.known[k]+1, f.busy[k]
	f.busy[k] = true
	f.mu.Unlock()
	if isBusy {
		return nil, collection.Errorf(collection.Unavailable, "the file is being written here")
	}
	i := &incomingFile{files: f, key: k, size: size, number: number, temp: k.name(number) + tempSuffix}
	err := f.disk.MkdirAll(k.dir())
	if err == nil {
		if err = f.disk.Remove(i.temp); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		i.file, err = f.disk.Create(i.temp)
	}
	if err != nil {
		f.free(k)
		return nil, err
	}
	return i, nil
}

// WriteAt stores a piece of the graph.
func (i *incomingFile) WriteAt(p []byte, off int64) (int, error) {
	return i.file.WriteAt(p, off+fileHeaderBytes)
}

// Commit makes the file the collection's.
func (i *incomingFile) Commit(context.Context) ([]byte, error) {
	f := i.files
	defer f.free(i.key)
	_, err := i.file.WriteAt(i.key.header(i.size), 0)
	if err == nil {
		err = i.file.Sync()
	}
	if err = errors.Join(err, i.file.Close()); err != nil {
		f.discard(i.temp)
		return nil, err
	}
	if _, err := f.replace(i.key, i.temp, i.number, func() bool { return true }); err != nil {
		return nil, err
	}
	if err := f.disk.SyncDir(i.key.dir()); err != nil {
		return nil, err
	}
	if i.number > 1 {
		f.discard(i.key.name(i.number - 1))
	}
	return nil, nil
}

// Abort removes what there is of the file.
func (i *incomingFile) Abort() {
	_ = i.file.Close()
	i.files.discard(i.temp)
	i.files.free(i.key)
}
