package embedding

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// vector decodes an array of numbers: nothing else in it, not null, none that
// float32 cannot hold.
type vector []float32

// UnmarshalJSON reads data, which encoding/json has found to be valid JSON.
func (v *vector) UnmarshalJSON(data []byte) error {
	inner, ok := bytes.CutPrefix(bytes.TrimSpace(data), []byte("["))
	if !ok {
		return errors.New("an embedding is not an array of numbers")
	}
	inner = bytes.TrimSpace(bytes.TrimSuffix(inner, []byte("]")))
	if len(inner) == 0 {
		return errors.New("an embedding is empty")
	}
	n := bytes.Count(inner, []byte(",")) + 1
	if n > dimensionMax {
		return fmt.Errorf("an embedding has more than %d values", dimensionMax)
	}
	out := make([]float32, 0, n)
	for field := range bytes.SplitSeq(inner, []byte(",")) {
		field = bytes.TrimSpace(field)
		if len(field) == 0 || field[0] != '-' && (field[0] < '0' || field[0] > '9') {
			return errors.New("an embedding holds what is not a number")
		}
		f, err := strconv.ParseFloat(string(field), 32)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return errors.New("an embedding holds a number out of range")
		}
		out = append(out, float32(f))
	}
	*v = out
	return nil
}

type embeddingsAnswer struct {
	Data []struct {
		Index     *int   `json:"index"`
		Embedding vector `json:"embedding"`
	} `json:"data"`
}

// decodeEmbeddings reads the answer to n texts: one vector for each, in their
// order, all of dimension values; of 0: all alike.
func decodeEmbeddings(body []byte, n, dimension int) ([][]float32, error) {
	var a embeddingsAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, answerFault(err)
	}
	if len(a.Data) != n {
		return nil, fmt.Errorf("%d vectors for %d texts", len(a.Data), n)
	}
	out := make([][]float32, n)
	for i, d := range a.Data {
		at := i
		if d.Index != nil {
			at = *d.Index
		}
		if at < 0 || at >= n || out[at] != nil {
			return nil, fmt.Errorf("index %d is out of range or comes twice", at)
		}
		if dimension == 0 {
			dimension = len(d.Embedding)
		}
		if len(d.Embedding) != dimension || dimension == 0 {
			return nil, fmt.Errorf("a vector of %d values, expected %d", len(d.Embedding), dimension)
		}
		out[at] = d.Embedding
	}
	return out, nil
}

// answerFault says what is wrong without a byte of the answer in it.
func answerFault(err error) error {
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &shape) {
		return errors.New("not JSON of the expected shape")
	}
	return err
}

// Ranked is the score of one document, the larger the better.
type Ranked struct {
	Index int
	Score float64
}

type rankedAnswer struct {
	Index     *int     `json:"index"`
	Relevance *float64 `json:"relevance_score"`
	Score     *float64 `json:"score"`
}

// decodeRanking reads the answer to n documents: {"results": [...]} or the
// bare array, each of the documents once.
func decodeRanking(body []byte, n int) ([]Ranked, error) {
	var list []rankedAnswer
	var err error
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '[' {
		err = json.Unmarshal(body, &list)
	} else {
		var a struct {
			Results []rankedAnswer `json:"results"`
		}
		err = json.Unmarshal(body, &a)
		list = a.Results
	}
	if err != nil {
		return nil, answerFault(err)
	}
	if len(list) != n {
		return nil, fmt.Errorf("%d scores for %d documents", len(list), n)
	}
	out := make([]Ranked, 0, n)
	seen := make([]bool, n)
	for _, d := range list {
		score := d.Relevance
		if score == nil {
			score = d.Score
		}
		if d.Index == nil || score == nil || *d.Index < 0 || *d.Index >= n || seen[*d.Index] {
			return nil, errors.New("a score lacks its value, or its index is out of range or comes twice")
		}
		seen[*d.Index] = true
		out = append(out, Ranked{Index: *d.Index, Score: *score})
	}
	return out, nil
}
