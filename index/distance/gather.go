package distance

import "unsafe"

// Rows are rows of equal size that lie in chunks and are addressed by number:
// the shape of memory that grows without moving. The chunks hold no pointers.
type Rows struct {
	Chunks []unsafe.Pointer // where each chunk of 1<<Shift rows begins
	Shift  uint
	Stride int // bytes from one row to the next
}

// At is the place of a row.
func (r *Rows) At(number uint32) unsafe.Pointer {
	return unsafe.Add(r.Chunks[number>>r.Shift], int(number&(1<<r.Shift-1))*r.Stride)
}

// Floats is the row as float32 values.
func (r *Rows) Floats(number uint32, dim int) []float32 {
	return unsafe.Slice((*float32)(r.At(number)), dim)
}

// Codes are rows of unsigned bytes. To each belong its terms, which lie in the
// row behind the values, or behind all rows of the chunk: the first row's at
// offset Terms in the chunk. Memory is readable for CodeBlock bytes behind the
// last row: kernels read whole blocks, and what they read too much meets the
// query's zeros.
type Codes struct {
	Rows
	Terms      int // a multiple of four
	TermStride int
	Twice      bool // see CodeGather
}

// Terms is what a row of codes adds to a distance.
type Terms struct {
	Row   int32 // as a row
	Query int32 // as a query, see CodeQuery
}

// TermsAt is the place of a row's terms.
func (c *Codes) TermsAt(number uint32) *Terms {
	chunk := c.Chunks[number>>c.Shift]
	return (*Terms)(unsafe.Add(chunk, c.Terms+int(number&(1<<c.Shift-1))*c.TermStride))
}

// CodeBlock is the number of values that kernels compare at a time.
const CodeBlock = 64

// CodeQuery is what codes are compared with: bytes, with zeros up to a whole
// number of blocks, and a constant. For CodeGather they are signed; for
// L1CodeGather they are codes as in the rows.
type CodeQuery struct {
	Values []int8
	Dim    int // how many of Values are not the zeros behind; L1CodeGather needs it
	Base   int32
}

// CodeGather sets out[i] to
//
//	Base + the row's term - dot product of query and row (two of them if Twice)
//
// for the row of the i-th number. The sums are of 32 bits and wrap around;
// only the result is rounded, to float32. While it compares a row it fetches
// those that follow.
func CodeGather(q *CodeQuery, c *Codes, numbers []uint32, out []float32) {
	if len(out) < len(numbers) || len(q.Values) == 0 || len(q.Values)%CodeBlock != 0 {
		panic("BUG: distance: short output or query of codes")
	}
	if len(numbers) > 0 {
		codeGather(codeLevel, q, c, numbers, out)
	}
}

// L1CodeGather sets out[i] to the sum of the absolute differences of query and
// the row of the i-th number. What lies behind a row's values does not matter,
// nor do the terms. While it compares a row it fetches those that follow.
func L1CodeGather(q *CodeQuery, c *Codes, numbers []uint32, out []float32) {
	if len(out) < len(numbers) || q.Dim < 1 || len(q.Values) != (q.Dim+CodeBlock-1)/CodeBlock*CodeBlock {
		panic("BUG: distance: short output or query of codes")
	}
	if len(numbers) > 0 {
		l1CodeGather(codeLevel, q, c, numbers, out)
	}
}

// L2Gather sets out[i] to the squared Euclidean distance of query and the row
// of the i-th number, fetching rows ahead.
func L2Gather(query []float32, rows *Rows, numbers []uint32, out []float32) {
	gather(query, rows, numbers, out, L2Many)
}

// DotGather is L2Gather for the dot product.
func DotGather(query []float32, rows *Rows, numbers []uint32, out []float32) {
	gather(query, rows, numbers, out, DotMany)
}

// L1Gather is L2Gather for the Manhattan distance.
func L1Gather(query []float32, rows *Rows, numbers []uint32, out []float32) {
	gather(query, rows, numbers, out, L1Many)
}

// ahead is how many rows of floats are fetched before they are compared.
const ahead = 3

func gather(query []float32, rows *Rows, numbers []uint32, out []float32, many func(query, rows, out []float32)) {
	for i := range min(ahead, len(numbers)) {
		Prefetch(rows.At(numbers[i]), 4*len(query))
	}
	for i, number := range numbers {
		if next := i + ahead; next < len(numbers) {
			Prefetch(rows.At(numbers[next]), 4*len(query))
		}
		many(query, rows.Floats(number, len(query)), out[i:i+1])
	}
}

// codeGatherReference is what the kernels are tested against.
func codeGatherReference(q *CodeQuery, c *Codes, numbers []uint32, out []float32) {
	for i, number := range numbers {
		values := unsafe.Slice((*uint8)(c.At(number)), len(q.Values))
		var dot int32
		for j, v := range values {
			dot += int32(q.Values[j]) * int32(v)
		}
		if c.Twice {
			dot *= 2
		}
		out[i] = float32(q.Base + c.TermsAt(number).Row - dot)
	}
}

func l1CodeGatherReference(q *CodeQuery, c *Codes, numbers []uint32, out []float32) {
	for i, number := range numbers {
		values := unsafe.Slice((*uint8)(c.At(number)), q.Dim)
		var sum int32
		for j, v := range values {
			difference := int32(uint8(q.Values[j])) - int32(v)
			sum += max(difference, -difference)
		}
		out[i] = float32(sum)
	}
}
