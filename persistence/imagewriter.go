package persistence

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
)

// ImageWriter takes an image in, bytes in any order, and makes a store of it.
// What is not finished is in a file of its own, which nobody takes for a store.
// WriteAt may be called by several goroutines, the rest by one, after them.
type ImageWriter struct {
	disk   disk.Disk
	dir    string // on disk
	group  uint64
	temp   string // path on disk
	file   disk.File
	verify func(f disk.File) (Meta, error) // leaves the file as the store's has to be

	once sync.Once
}

// CreateImage begins to take in an image for a group, into the directory that
// the group's store is in.
func CreateImage(dir string, group uint64) (*ImageWriter, error) {
	d, err := disk.OS(dir)
	if err != nil {
		return nil, err
	}
	return createImage(d, ".", group, verifyBoltImage)
}

// CreateMemImage is CreateImage for a memory store in a directory on d.
func CreateMemImage(d disk.Disk, dir string, group uint64) (*ImageWriter, error) {
	return createImage(d, dir, group, verifyMemImage)
}

func createImage(d disk.Disk, dir string, group uint64, verify func(disk.File) (Meta, error)) (*ImageWriter, error) {
	for n := 0; ; n++ { // others may be under way, or were when a process ended
		temp := path.Join(dir, tempFile(group, n))
		f, err := d.Create(temp)
		switch {
		case err == nil:
			return &ImageWriter{disk: d, dir: dir, group: group, temp: temp, file: f, verify: verify}, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, fmt.Errorf("take in an image of group %d: %w", group, err)
		}
	}
}

// WriteAt implements io.WriterAt.
func (w *ImageWriter) WriteAt(p []byte, off int64) (int, error) { return w.file.WriteAt(p, off) }

// Finish verifies the whole image and gives it the name of the store that
// begins at its applied index, durably; it returns what it is of. The group
// does not use that store before its log says so; when it is not going to, the
// caller removes it (RemoveStore). A corrupt image is an error with the code
// DataLoss. An error leaves nothing behind, and AlreadyExists says that a store
// has that name: another image's, or the one in use.
func (w *ImageWriter) Finish() (Meta, error) {
	defer w.Abort()
	var m Meta
	err := guarded(w.temp, "verify", func() (err error) {
		m, err = w.verify(w.file)
		return err
	})
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		err = w.install(path.Join(w.dir, StoreFile(w.group, m.Applied)))
	}
	if err != nil {
		return Meta{}, fmt.Errorf("image of group %d: %w", w.group, err)
	}
	return m, nil
}

func (w *ImageWriter) install(name string) error {
	switch f, err := w.disk.Open(name); {
	case err == nil:
		_ = f.Close() // only opened
		return collection.Errorf(collection.AlreadyExists, "there is a store %s", name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := w.disk.Rename(w.temp, name); err != nil {
		return err
	}
	if err := w.disk.SyncDir(w.dir); err != nil {
		_ = w.disk.Remove(name) // what stays is swept at the next start
		return err
	}
	return nil
}

// Abort gives the image up. After Finish it does nothing.
func (w *ImageWriter) Abort() {
	w.once.Do(func() {
		_ = w.file.Close()
		_ = w.disk.Remove(w.temp) // not there after Finish; what stays is swept at the next start
	})
}

// verifyBoltImage leaves the store of the image.
func verifyBoltImage(f disk.File) (Meta, error) {
	size, err := f.Size()
	if err != nil {
		return Meta{}, err
	}
	store, err := checkBoltImage(f, size)
	if err != nil {
		return Meta{}, err
	}
	m, err := verifyBolt(f, store)
	if err != nil {
		return Meta{}, err
	}
	return m, f.Truncate(store)
}

func verifyMemImage(f disk.File) (Meta, error) {
	size, err := f.Size()
	if err != nil {
		return Meta{}, err
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) && !errors.Is(err, io.EOF) {
		return Meta{}, err
	}
	state, err := decodeImage(b)
	if err != nil {
		return Meta{}, err
	}
	var sum digest
	for c := range state.data.changes() {
		if c.Bucket != collection.BucketMeta {
			sum.add(c.Bucket, c.Key, c.Value)
		}
	}
	return state.meta, state.meta.verify(sum)
}
