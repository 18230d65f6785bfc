package grains

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/hivehub/waggle/persistence/disk"
)

// An index file keeps the graph of a vector over the times when its collection
// is not in memory. It is a cache: the store has everything that is not in it, and a
// collection without one, or with an old one, only has more to build.
//
// A file is written under another name, synced and renamed, and the one before
// it stays until the new name is durable. It is <partition>/<collection>-<n>.widx
// for a collection's first vector, <partition>/<collection>.<vector>-<n>.widx for
// the others, of which the highest n counts. All numbers are little-endian:
//
//	0   magic "WIDX" (uint32), version 1, number of the vector (uint16)
//	8   partition, collection, length of the rest (uint64)
//	32  CRC-32C of the bytes before it
//	36  a graph file of package hnsw, with checksums of its own
const (
	fileMagic       = 0x58444957
	fileVersion     = 1
	fileHeaderBytes = 36
	fileSuffix      = ".widx"
	tempSuffix      = ".tmp"
)

var (
	errIndexFile = errors.New("not an index file of this collection")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

// fileKey is whose index a file is.
type fileKey struct {
	partition, collection uint64
	vector                uint16 // its place in Config.Vectors
}

func (k fileKey) dir() string { return strconv.FormatUint(k.partition, 10) }

func (k fileKey) name(number uint64) string {
	if k.vector == 0 {
		return path.Join(k.dir(), fmt.Sprintf("%d-%d%s", k.collection, number, fileSuffix))
	}
	return path.Join(k.dir(), fmt.Sprintf("%d.%d-%d%s", k.collection, k.vector, number, fileSuffix))
}

// header is the header of a file with so many bytes behind it.
func (k fileKey) header(length int64) []byte {
	h := make([]byte, 0, fileHeaderBytes)
	h = binary.LittleEndian.AppendUint32(h, fileMagic)
	h = binary.LittleEndian.AppendUint16(h, fileVersion)
	h = binary.LittleEndian.AppendUint16(h, k.vector)
	h = binary.LittleEndian.AppendUint64(h, k.partition)
	h = binary.LittleEndian.AppendUint64(h, k.collection)
	h = binary.LittleEndian.AppendUint64(h, uint64(length))
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// indexFiles is the index files of this node. mu guards the maps; a name in
// the directory changes only while it is held.
type indexFiles struct {
	disk disk.Disk
	dir  string // for scratch space beside them, "" where there is none
	log  *slog.Logger

	mu    sync.Mutex
	known map[fileKey]uint64 // the number of the file that counts
	busy  map[fileKey]bool   // one is being written
}

// openIndexFiles finds the files in a directory and removes what a crash left
// behind. Without a disk there are no files, and none are written.
func openIndexFiles(d disk.Disk, log *slog.Logger) *indexFiles {
	f := &indexFiles{disk: d, log: log, known: map[fileKey]uint64{}, busy: map[fileKey]bool{}}
	if d == nil {
		return f
	}
	dirs, err := d.List(".")
	if err != nil {
		f.warn("index files cannot be listed", fileKey{}, err)
	}
	for _, dir := range dirs {
		partition, err := strconv.ParseUint(dir, 10, 64)
		if err != nil {
			continue
		}
		names, err := d.List(dir)
		if err != nil {
			f.warn("index files cannot be listed", fileKey{partition: partition}, err)
		}
		for _, name := range names {
			f.find(partition, name)
		}
	}
	return f
}

// find takes note of a file, of which only the newest of a vector stays.
func (f *indexFiles) find(partition uint64, name string) {
	if strings.HasSuffix(name, tempSuffix) {
		f.discard(path.Join(strconv.FormatUint(partition, 10), name))
		return
	}
	k, number, ok := parseFileName(name)
	if !ok {
		return
	}
	k.partition = partition
	older := min(f.known[k], number)
	f.known[k] = max(f.known[k], number)
	if older > 0 {
		f.discard(k.name(older))
	}
}

// parseFileName reads a file's name inside the partition's directory.
func parseFileName(name string) (k fileKey, number uint64, ok bool) {
	base, isFile := strings.CutSuffix(name, fileSuffix)
	whose, count, isPair := strings.Cut(base, "-")
	whose, vector, isOther := strings.Cut(whose, ".")
	collection, errWhose := strconv.ParseUint(whose, 10, 64)
	number, errCount := strconv.ParseUint(count, 10, 64)
	k.collection = collection
	if isOther {
		n, err := strconv.ParseUint(vector, 10, 16)
		if k.vector = uint16(n); err != nil || n == 0 {
			return k, 0, false
		}
	}
	return k, number, isFile && isPair && errWhose == nil && errCount == nil && number > 0
}

// discard removes a file that nobody needs. If it stays, the next start
// removes it.
func (f *indexFiles) discard(name string) {
	if err := f.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("an index file cannot be removed", "file", name, "err", err)
	}
}

func (f *indexFiles) warn(what string, k fileKey, err error) {
	f.log.Warn(what, "partition", k.partition, "collection", k.collection, "vector", k.vector, "err", err)
}

// of returns whose files of a partition are there.
func (f *indexFiles) of(partition uint64) []fileKey {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []fileKey
	for k := range f.known {
		if k.partition == partition {
			keys = append(keys, k)
		}
	}
	return keys
}

// remove removes a file, if there is one.
func (f *indexFiles) remove(k fileKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removeLocked(k)
}

func (f *indexFiles) removeLocked(k fileKey) {
	if number, ok := f.known[k]; ok {
		delete(f.known, k)
		f.discard(k.name(number))
	}
}

// load calls read with what was written last, and reports whether there was
// something and read took it. A file that is not as it was written, or that
// read cannot use, is removed.
func (f *indexFiles) load(k fileKey, read func(io.Reader) error) bool {
	f.mu.Lock()
	number, ok := f.known[k]
	var file disk.File
	var err error
	if ok {
		file, err = f.disk.Open(k.name(number))
	}
	f.mu.Unlock()
	if !ok {
		return false
	}
	if err == nil {
		err = errors.Join(readIndexFile(k, file, read), file.Close())
	}
	if err == nil {
		return true
	}
	f.warn("an index file is of no use: it is removed, and the graph built anew", k, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known[k] == number {
		f.removeLocked(k)
	}
	return false
}

func readIndexFile(k fileKey, file disk.File, read func(io.Reader) error) error {
	size, err := file.Size()
	if err != nil {
		return err
	}
	header := make([]byte, fileHeaderBytes)
	if _, err := file.ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(header) != string(k.header(size-fileHeaderBytes)) {
		return errIndexFile
	}
	return read(io.NewSectionReader(file, fileHeaderBytes, size-fileHeaderBytes))
}

// save makes what write writes the vector's file, unless wanted, asked at
// last, says no. It reports whether that is done; nothing is when another save
// of it is under way. An error leaves the file that was there.
func (f *indexFiles) save(ctx context.Context, k fileKey, write func(io.Writer) (int64, error), wanted func() bool) (bool, error) {
	f.mu.Lock()
	old, isBusy := f.known[k], f.busy[k]
	f.busy[k] = true
	f.mu.Unlock()
	if isBusy {
		return false, nil
	}
	defer f.free(k)
	temp := k.name(old+1) + tempSuffix
	if err := f.write(ctx, k, temp, write); err != nil {
		return false, err
	}
	if done, err := f.replace(k, temp, old+1, wanted); !done || err != nil {
		return false, err
	}
	if err := f.disk.SyncDir(k.dir()); err != nil {
		return true, err // of two files, the next start finds the newer
	}
	if old > 0 {
		f.discard(k.name(old))
	}
	return true, nil
}

func (f *indexFiles) free(k fileKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, k)
}

// write makes a new file, durably, or none.
func (f *indexFiles) write(ctx context.Context, k fileKey, name string, write func(io.Writer) (int64, error)) error {
	if err := f.disk.MkdirAll(k.dir()); err != nil {
		return err
	}
	if err := f.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // of a save that failed
	}
	file, err := f.disk.Create(name)
	if err != nil {
		return err
	}
	n, err := write(&patientWriter{ctx, io.NewOffsetWriter(file, fileHeaderBytes)})
	if err == nil {
		_, err = file.WriteAt(k.header(n), 0)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = f.disk.Remove(name) // err says more, and the next save or start repeats it
	}
	return err
}

// replace gives a finished file its name.
func (f *indexFiles) replace(k fileKey, temp string, number uint64, wanted func() bool) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !wanted() {
		f.discard(temp)
		return false, nil
	}
	if err := f.disk.Rename(temp, k.name(number)); err != nil {
		f.discard(temp)
		return false, err
	}
	f.known[k] = number
	return true, nil
}

// patientWriter gives up when its context ends.
type patientWriter struct {
	ctx context.Context
	w   io.Writer
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}
