package httpedge

import (
	"errors"
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/collection/chunk"
	"github.com/hivehub/waggle/tenant"
)

// nativeTexts are the operations on texts: to store them, and to find them.
func (s *Server) nativeTexts() []*native {
	const whole = "A text under an id that is there already replaces it, with all its chunks. The text is kept in the payload's member text, beside the members of metadata." +
		" A text of more than chunk_size characters is stored in chunks, points of their own whose payloads say where they are from: parent_id, chunk_index, chunk_count, chunk_start and chunk_end, in characters."
	return append([]*native{
		operation[insertText, textInserted]{
			id: "insert_text", method: "POST", path: "/insert", op: tenant.OpWrite, logs: tenant.LogInsert,
			summary: "Store a text, to be found by its words.", about: whole, status: 201,
			do: s.insertText,
		}.native(),
		operation[insertTexts, textsInserted]{
			id: "insert_texts", method: "POST", path: "/insert_texts", op: tenant.OpWrite, logs: tenant.LogInsert,
			summary: "Store several texts: all of them, or none.", about: whole, status: 201,
			do: func(r *request, tc tenant.Context, q *insertTexts) (textsInserted, error) {
				return s.insertTexts(r, tc, q)
			},
		}.native(),
		operation[insertTexts, textsInserted]{
			id: "batch_insert_texts", method: "POST", path: "/batch_insert", op: tenant.OpWrite, logs: tenant.LogInsert,
			summary: "Store several texts: insert_texts by its older name.", about: whole, status: 201,
			do: func(r *request, tc tenant.Context, q *insertTexts) (textsInserted, error) {
				return s.insertTexts(r, tc, q)
			},
		}.native(),
	}, s.nativeTextSearch()...)
}

// textJSON says how a collection's texts are indexed.
type textJSON struct {
	Enabled   bool     `json:"enabled" default:"true" doc:"Whether they are."`
	Field     string   `json:"field" default:"text" min:"1" max:"255" doc:"The member of payloads that they are in."`
	K1        float64  `json:"k1" default:"1.2" min:"0" max:"1000" doc:"Of BM25: how soon a word that comes often saturates."`
	B         float64  `json:"b" default:"0.75" min:"0" max:"1" doc:"Of BM25: how much a long text counts for less."`
	StopWords []string `json:"stop_words,omitempty" max:"1000" doc:"Words that are left out."`
	RunesMin  int      `json:"min_word_length,omitempty" min:"1" max:"255" doc:"Characters of the shortest words that count; 1 if it is left out."`
	RunesMax  int      `json:"max_word_length,omitempty" min:"1" max:"255" doc:"Characters of the longest ones; 40 if it is left out."`
}

// params are the settings that are asked for, and whether texts are indexed: as
// nobody said otherwise.
func (t *textJSON) params() (collection.TextParams, bool) {
	p := collection.DefaultText()
	if t != nil {
		p.Field, p.K1, p.B, p.StopWords, p.RunesMin, p.RunesMax = t.Field, t.K1, t.B, t.StopWords, t.RunesMin, t.RunesMax
	}
	return p, t == nil || t.Enabled
}

func shownText(p *collection.TextParams) *textJSON {
	return &textJSON{Enabled: true, Field: p.Field, K1: p.K1, B: p.B, StopWords: p.StopWords, RunesMin: p.RunesMin, RunesMax: p.RunesMax}
}

// newText is a text in a request to store some.
type newText struct {
	ID       vectorID                            `json:"id,omitempty" alias:"client_id" doc:"1 to 240 bytes without #; without one, a UUID is made."`
	Text     string                              `json:"text" alias:"content" doc:"The text." min:"1"`
	Vector   []float32                           `json:"vector,omitempty" alias:"data,embedding" doc:"The default dense vector, of a text that is not stored in chunks."`
	Sparse   map[string]*collection.SparseVector `json:"sparse,omitempty" doc:"Sparse vectors by their names, likewise." max:"64"`
	Payload  collection.Payload                  `json:"payload,omitempty" doc:"Further members of the payload."`
	Metadata collection.Payload                  `json:"metadata,omitempty" doc:"The same, as older clients name it; of a member in both, payload's counts."`
}

// chunking says how texts are cut.
type chunking struct {
	AutoChunk bool `json:"auto_chunk" default:"true" doc:"Whether a long text is stored in chunks."`
	Size      int  `json:"chunk_size" default:"2048" min:"16" max:"65536" doc:"Characters of a chunk, at most."`
	Overlap   int  `json:"chunk_overlap" default:"128" min:"0" max:"32768" doc:"Characters that a chunk shares with the one before, about; at most half of chunk_size."`
}

func (c *chunking) options() (chunk.Options, error) {
	o := chunk.Options{Size: c.Size, Overlap: c.Overlap}
	if c.Overlap == chunk.OverlapDefault {
		o.Overlap = min(o.Overlap, o.Size/2)
	}
	if err := o.Validate(); err != nil {
		return o, errValue("chunk_overlap: " + err.Error())
	}
	return o, nil
}

type insertText struct {
	Collection collectionName `json:"collection" alias:"collection_name"`
	newText
	chunking
}

type textInserted struct {
	Message    string         `json:"message"`
	Collection collectionName `json:"collection"`
	ID         vectorID       `json:"id" doc:"Of the text; of a text in chunks, their parent_id."`
	Created    int            `json:"vectors_created"`
	VectorIDs  []vectorID     `json:"vector_ids" doc:"Of the points: the text's own, or its chunks'."`
	Chunked    bool           `json:"chunked"`
}

func (s *Server) insertText(r *request, tc tenant.Context, q *insertText) (textInserted, error) {
	done, err := s.storeTexts(r, tc, q.Collection, []newText{q.newText}, &q.chunking)
	if err != nil {
		var at *textFault
		if errors.As(err, &at) {
			err = placed(at.err)
		}
		return textInserted{}, err
	}
	one := &done[0]
	return textInserted{
		Message: "the text is stored", Collection: q.Collection, ID: one.id, Created: len(one.ids), VectorIDs: one.ids, Chunked: one.chunked,
	}, nil
}

type insertTexts struct {
	Collection collectionName `json:"collection" alias:"collection_name"`
	Texts      []newText      `json:"texts" min:"1" max:"batch"`
	chunking
	batchHints
}

type textsInserted struct {
	Success    bool           `json:"success" doc:"Always true: all are stored, or none."`
	Collection collectionName `json:"collection"`
	Operation  string         `json:"operation"`
	Count      int            `json:"count" doc:"How many texts were sent."`
	Inserted   int            `json:"inserted"`
	Failed     int            `json:"failed" doc:"Always 0."`
	Total      int            `json:"total_operations" doc:"As count, for older clients, and so on."`
	Successful int            `json:"successful_operations"`
	Unsuccess  int            `json:"failed_operations"`
	DurationMS float64        `json:"duration_ms"`
	Errors     []string       `json:"errors"`
	Results    []oneInserted  `json:"results" doc:"In the order of the request."`
}

type oneInserted struct {
	ClientID  vectorID   `json:"client_id" doc:"The text's id."`
	Index     int        `json:"index"`
	Status    string     `json:"status" enum:"ok"`
	Created   int        `json:"vectors_created"`
	VectorIDs []vectorID `json:"vector_ids"`
	Chunked   bool       `json:"chunked"`
}

func (s *Server) insertTexts(r *request, tc tenant.Context, q *insertTexts) (textsInserted, error) {
	list, err := s.storeTexts(r, tc, q.Collection, q.Texts, &q.chunking)
	if err != nil {
		var at *textFault
		if errors.As(err, &at) {
			err = placed(within("texts", within("["+strconv.Itoa(at.index)+"]", at.err)))
		}
		return textsInserted{}, err
	}
	n := len(list)
	done := textsInserted{
		Success: true, Collection: q.Collection, Operation: "insert", Count: n, Inserted: n, Total: n, Successful: n,
		Errors: []string{}, Results: make([]oneInserted, n),
	}
	for i := range list {
		one := &list[i]
		done.Results[i] = oneInserted{
			ClientID: one.id, Index: i, Status: "ok", Created: len(one.ids), VectorIDs: one.ids, Chunked: one.chunked,
		}
	}
	done.DurationMS = milliseconds(r.elapsed())
	return done, nil
}

// textFault is what is wrong with one of several texts.
type textFault struct {
	index int
	err   error
}

func (f *textFault) Error() string { return f.err.Error() }
func (f *textFault) Unwrap() error { return f.err }

// storedText is a text that is stored: under one id, as points of their own ids.
type storedText struct {
	id      vectorID
	ids     []vectorID
	chunked bool
	given   bool // the id is the caller's: something may be there under it
}

// What the payload of a chunk says of it.
const (
	chunkParent = "parent_id"
	chunkIndex  = "chunk_index"
	chunkCount  = "chunk_count"
	chunkStart  = "chunk_start"
	chunkEnd    = "chunk_end"
)

// textIDMax is the longest id of a text, so that those of its chunks are ids.
const textIDMax = 240

// storeTexts stores texts in a collection: all of them, with what they replace,
// in one change. A textFault says which one is wrong.
func (s *Server) storeTexts(r *request, tc tenant.Context, name collectionName, texts []newText, how *chunking) ([]storedText, error) {
	options, err := r.nativeWriteOptions()
	if err != nil {
		return nil, err
	}
	cut, err := how.options()
	if err != nil {
		return nil, err
	}
	info, member, err := s.textMember(r, tc, name)
	if err != nil {
		return nil, err
	}
	done := make([]storedText, len(texts))
	made := newPointsOfTexts(r, s.limits.Request.BatchPoints, member)
	for i := range texts {
		if texts[i].ID == "" && options.IdempotencyKey != "" {
			texts[i].ID = madeID(&options, i)
		}
		if done[i], err = made.add(&texts[i], how.AutoChunk, cut); err != nil {
			return nil, &textFault{i, err}
		}
	}
	return done, s.replaceTexts(r, tc, &info, name, replacement{made.list, done, options})
}

// replacement is texts that take the place of what is there under their ids.
type replacement struct {
	points  []collection.Point // that the texts are stored as
	texts   []storedText
	options collection.WriteOptions
}

// replaceTexts stores texts, with what they replace, in one change. Points that
// have no vectors get those of the collection's endpoint.
func (s *Server) replaceTexts(r *request, tc tenant.Context, info *collection.Info, name collectionName, w replacement) error {
	if err := s.embedPoints(r.ctx, tc, info, w.points); err != nil {
		return err
	}
	release, err := s.replacing.enter(r.ctx, tc.TenantID, name, w.texts)
	if err != nil {
		return err
	}
	defer release()
	old, err := s.replaced(r, tc, name, w.texts)
	if err != nil {
		return err
	}
	change := collection.Write{Upsert: w.points}
	if len(old) > 0 {
		change = collection.Write{Batch: []collection.Write{{Delete: &collection.Selection{IDs: old}}, {Upsert: w.points}}}
	}
	_, err = s.engine.Write(r.ctx, tc, string(name), change, w.options)
	return err
}

// textMember is the member of payloads that a collection's texts are in.
func (s *Server) textMember(r *request, tc tenant.Context, name collectionName) (collection.Info, string, error) {
	info, err := s.engine.GetCollection(r.ctx, tc, string(name))
	if err != nil {
		return info, "", err
	}
	if len(info.Config.Text) == 0 {
		return info, "", collection.Errorf(collection.InvalidArgument, "the collection has no texts: it was created without an index of them")
	}
	return info, info.Config.Text[0].Field, nil
}
