package httpedge

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/collection/chunk"
	documents "github.com/hivehub/waggle/collection/document"
	"github.com/hivehub/waggle/tenant"
)

// multipartMedia is the type of a form with a file in it.
const multipartMedia = "multipart/form-data"

const (
	formPartsMax = 16
	formBytesMax = 64 << 10 // of a field that is no file
)

// What the payload of a file's chunk says of it beside what a text's does.
const (
	fileSource  = "source"
	fileTitle   = "title"
	fileHeading = "heading_path"
)

// nativeFiles are the operations on files.
func (s *Server) nativeFiles() []*native {
	return []*native{
		operation[uploadForm, uploaded]{
			id: "upload_file", method: "POST", path: "/files/upload", op: tenant.OpUpload, logs: tenant.LogFile, media: multipartMedia, status: 201,
			summary: "Store the text of a file (plain text, Markdown, HTML) in chunks, to be found by its words.",
			about: "The collection must be there. A file is cut at its headings and then as texts are; each chunk's payload has the member text, and source (the file's name), title, heading_path," +
				" parent_id (the name again), chunk_index, chunk_count, chunk_start and chunk_end (in characters: of the file, of HTML in its text). Scripts, styles and navigation of HTML are left out." +
				" A file of the same name is replaced, as a whole. Where the collection has an embedding endpoint, chunks get vectors.",
			do: s.uploadFile,
		}.native(),
		operation[nothing, uploadConfig]{
			id: "get_file_upload_config", method: "GET", path: "/files/config", op: tenant.OpRead, logs: tenant.LogFile,
			summary: "Say which files may be uploaded.",
			do: func(*request, tenant.Context, *nothing) (uploadConfig, error) {
				return uploadConfig{
					SizeMax: s.limits.FileBytes, Extensions: documents.Extensions(), ChunkSize: chunk.SizeDefault, ChunkOverlap: chunk.OverlapDefault,
				}, nil
			},
		}.native(),
	}
}

type uploadConfig struct {
	SizeMax      int      `json:"max_file_size" doc:"In bytes."`
	Extensions   []string `json:"allowed_extensions"`
	ChunkSize    int      `json:"default_chunk_size" doc:"In characters."`
	ChunkOverlap int      `json:"default_chunk_overlap"`
}

// uploadForm is the form of an upload. It is read by uploadFile; the tags are for
// the documents.
type uploadForm struct {
	File       string             `json:"file" doc:"The file, with its name: a name, or a path below a folder, of at most 240 bytes without # and control characters."`
	Collection collectionName     `json:"collection_name" doc:"Or collection."`
	Size       int                `json:"chunk_size" default:"2048" min:"16" max:"65536" doc:"Characters of a chunk, at most."`
	Overlap    int                `json:"chunk_overlap" default:"128" min:"0" max:"32768" doc:"Characters that a chunk shares with the one before, about; at most half of chunk_size."`
	Metadata   collection.Payload `json:"metadata,omitempty" doc:"A JSON object: further members of every chunk's payload."`
}

type uploaded struct {
	Success    bool           `json:"success" doc:"Always true: all of the file is stored, or nothing."`
	Message    string         `json:"message"`
	Collection collectionName `json:"collection_name"`
	Filename   string         `json:"filename"`
	Size       int            `json:"file_size" doc:"In bytes."`
	Kind       string         `json:"kind" enum:"text,markdown,html"`
	Title      string         `json:"title,omitempty"`
	Chunks     int            `json:"chunks_created"`
	Vectors    int            `json:"vectors_created" doc:"The same, for older clients."`
	VectorIDs  []vectorID     `json:"vector_ids"`
	DurationMS float64        `json:"processing_time_ms"`
}

// file is a file that is uploaded.
type file struct {
	name, media string
	raw         []byte
}

func (s *Server) uploadFile(r *request, tc tenant.Context, q *uploadForm) (uploaded, error) {
	options, err := r.nativeWriteOptions()
	if err != nil {
		return uploaded{}, err
	}
	f, sum, err := s.readForm(r, q)
	if err != nil {
		return uploaded{}, err
	}
	options.RequestHash = sum // the boundary of a form is another one each time
	if err := mayCollection(&tc, string(q.Collection)); err != nil {
		return uploaded{}, err
	}
	r.about(string(q.Collection))
	kind, err := documents.KindOf(f.name, f.media)
	if err != nil {
		return uploaded{}, &collection.Error{Code: collection.InvalidArgument, Reason: reasonMediaType, Message: err.Error()}
	}
	info, member, err := s.textMember(r, tc, q.Collection)
	if err != nil {
		return uploaded{}, err
	}
	done := uploaded{
		Success: true, Message: "the file is stored", Collection: q.Collection, Filename: f.name, Size: len(f.raw), Kind: string(kind),
	}
	points, stored, title, err := s.pointsOfFile(r, tc, q, f, kind, member)
	if err != nil {
		return uploaded{}, err
	}
	if err := s.replaceTexts(r, tc, &info, q.Collection, replacement{points, []storedText{stored}, options}); err != nil {
		return uploaded{}, err
	}
	done.Title, done.Chunks, done.Vectors, done.VectorIDs = title, len(points), len(points), stored.ids
	done.DurationMS = milliseconds(r.elapsed())
	return done, nil
}

// pointsOfFile are the points that a file is stored as.
func (s *Server) pointsOfFile(r *request, tc tenant.Context, q *uploadForm, f *file, kind documents.Kind, member string) ([]collection.Point, storedText, string, error) {
	stored := storedText{id: vectorID(f.name), given: true, chunked: true}
	cut, err := (&chunking{Size: q.Size, Overlap: q.Overlap}).options()
	if err != nil {
		return nil, stored, "", err
	}
	given, err := ownPayload(q.Metadata, nil)
	if err != nil {
		return nil, stored, "", err
	}
	for _, name := range []string{member, fileSource, fileTitle, fileHeading, chunkParent, chunkIndex, chunkCount, chunkStart, chunkEnd} {
		if _, taken := given[name]; taken {
			return nil, stored, "", placed(within("metadata."+name, errValue("is what a chunk says of itself")))
		}
	}
	leave, err := s.engine.Turn(r.ctx, tc.TenantID, time.Duration(len(f.raw))*decodeCost)
	if err != nil {
		return nil, stored, "", err
	}
	defer leave()
	d, err := documents.Read(kind, f.raw)
	if err != nil {
		return nil, stored, "", &collection.Error{Code: collection.InvalidArgument, Message: f.name + ": " + err.Error()}
	}
	given = maps.Clone(given)
	if given == nil {
		given = collection.Payload{}
	}
	if given[fileSource] = f.name; d.Title != "" {
		given[fileTitle] = d.Title
	}
	var points []collection.Point
	for _, part := range d.Sections {
		for _, c := range chunk.Split(part.Text, cut) {
			id := stored.id.chunk(len(points))
			p := textPoint(id, given, member, c.Text)
			p.Payload[chunkParent], p.Payload[chunkIndex] = f.name, int64(len(points))
			p.Payload[chunkStart], p.Payload[chunkEnd] = int64(part.Start+c.Start), int64(part.Start+c.End)
			if len(part.Path) > 0 {
				p.Payload[fileHeading] = strings.Join(part.Path, " > ")
			}
			stored.ids, points = append(stored.ids, id), append(points, p)
		}
		if most := s.limits.Request.BatchPoints; len(points) > most {
			return nil, stored, "", tooManyOf("chunks", most)
		}
	}
	if len(points) == 0 {
		return nil, stored, "", errValue(f.name + ": there is no text in the file")
	}
	for i := range points {
		points[i].Payload[chunkCount] = int64(len(points))
	}
	return points, stored, d.Title, nil
}

// readForm reads the form into q, and returns the file in it and what tells the
// form from another one.
func (s *Server) readForm(r *request, q *uploadForm) (*file, [32]byte, error) {
	var f *file
	h := sha256.New()
	_, params, err := mime.ParseMediaType(r.header("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, [32]byte{}, errValue("the form has no boundary")
	}
	q.Size, q.Overlap = chunk.SizeDefault, chunk.OverlapDefault
	seen := map[string]bool{}
	form := multipart.NewReader(bytes.NewReader(r.body), params["boundary"])
	for {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, [32]byte{}, &collection.Error{Code: collection.InvalidArgument, Message: "the form cannot be read", Err: err}
		}
		name := part.FormName()
		if name == "collection" {
			name = "collection_name"
		}
		switch {
		case seen[name]:
			return nil, [32]byte{}, errValue("the field " + clipped(name) + " is there twice")
		case len(seen) == formPartsMax:
			return nil, [32]byte{}, errValue("more than " + strconv.Itoa(formPartsMax) + " fields")
		}
		seen[name] = true
		most := formBytesMax
		if name == "file" {
			most = s.limits.FileBytes
		}
		raw, err := io.ReadAll(io.LimitReader(part, int64(most)+1))
		switch {
		case err != nil:
			return nil, [32]byte{}, &collection.Error{Code: collection.InvalidArgument, Message: "the form is broken off", Err: err}
		case len(raw) > most:
			e := errValue(clipped(name) + " has more than " + strconv.Itoa(most) + " bytes")
			e.Reason = collection.ReasonTooLarge
			return nil, [32]byte{}, e
		}
		if name == "file" {
			f, err = fileOf(part, raw)
			if err == nil {
				raw = append([]byte(f.name+"\n"+f.media+"\n"), raw...)
			}
		} else {
			err = s.field(q, name, raw)
		}
		if err != nil {
			return nil, [32]byte{}, placed(within(clipped(name), err))
		}
		sum := sha256.Sum256(raw)
		h.Write([]byte(name + "\n"))
		h.Write(sum[:])
	}
	switch {
	case f == nil:
		return nil, [32]byte{}, errValue("file: is missing")
	case q.Collection == "":
		return nil, [32]byte{}, errValue("collection_name: is missing")
	}
	return f, [32]byte(h.Sum(nil)), nil
}

// field reads a field of the form that is no file.
func (s *Server) field(q *uploadForm, name string, raw []byte) error {
	p := &nativeReader{pointReader: *newPointReader(raw, s.limits.Request)}
	i, known := uploadFields.byName[name]
	if !known || name == "file" {
		return errValue(uploadFields.unknown("field", name, inBody))
	}
	f := &uploadFields.fields[i]
	v := reflect.ValueOf(q).Elem().FieldByIndex(f.index)
	if f.shape.parse != nil {
		return f.readParameter(p, string(raw), true, v)
	}
	if err := f.shape.read(p, v); err != nil {
		return err
	}
	return p.end()
}

var uploadFields = shapeOf(reflect.TypeFor[uploadForm]()).members

// fileOf is the file in a part of a form.
func fileOf(part *multipart.Part, raw []byte) (*file, error) {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return nil, errValue("its name cannot be read")
	}
	name := params["filename"]
	if !goodFileName(name) {
		return nil, errValue("must have a name, or a path below a folder, of 1 to " + strconv.Itoa(textIDMax) + " bytes of UTF-8 without #, \\ and control characters")
	}
	if part.Header.Get("Content-Transfer-Encoding") != "" {
		return nil, errValue("must be sent as it is, without Content-Transfer-Encoding")
	}
	return &file{name: name, media: part.Header.Get("Content-Type"), raw: raw}, nil
}

// goodFileName reports whether a file may have that name. It is never the name of
// a file here: it is shown to whoever searches.
func goodFileName(name string) bool {
	if len(name) > textIDMax || !utf8.ValidString(name) || strings.ContainsAny(name, `#\`) || strings.ContainsFunc(name, unicode.IsControl) {
		return false
	}
	for word := range strings.SplitSeq(name, "/") {
		if word == "" || word == "." || word == ".." {
			return false
		}
	}
	return true
}
