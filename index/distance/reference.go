package distance

import "math"

// The reference: what every kernel is tested against, and what runs where
// there is no assembly. Four sums at a time keep the adder busy.

func dotManyReference(query, rows, out []float32) {
	for i := range out {
		row := rows[i*len(query):][:len(query)]
		var s0, s1, s2, s3 float32
		j := 0
		for ; j+4 <= len(query); j += 4 {
			q, r := query[j:j+4:j+4], row[j:j+4:j+4]
			s0 += q[0] * r[0]
			s1 += q[1] * r[1]
			s2 += q[2] * r[2]
			s3 += q[3] * r[3]
		}
		for ; j < len(query); j++ {
			s0 += query[j] * row[j]
		}
		out[i] = (s0 + s1) + (s2 + s3)
	}
}

func l2ManyReference(query, rows, out []float32) {
	for i := range out {
		row := rows[i*len(query):][:len(query)]
		var s0, s1, s2, s3 float32
		j := 0
		for ; j+4 <= len(query); j += 4 {
			q, r := query[j:j+4:j+4], row[j:j+4:j+4]
			d0, d1, d2, d3 := q[0]-r[0], q[1]-r[1], q[2]-r[2], q[3]-r[3]
			s0 += d0 * d0
			s1 += d1 * d1
			s2 += d2 * d2
			s3 += d3 * d3
		}
		for ; j < len(query); j++ {
			d := query[j] - row[j]
			s0 += d * d
		}
		out[i] = (s0 + s1) + (s2 + s3)
	}
}

func l1ManyReference(query, rows, out []float32) {
	for i := range out {
		row := rows[i*len(query):][:len(query)]
		var s0, s1, s2, s3 float32
		j := 0
		for ; j+4 <= len(query); j += 4 {
			q, r := query[j:j+4:j+4], row[j:j+4:j+4]
			s0 += abs(q[0] - r[0])
			s1 += abs(q[1] - r[1])
			s2 += abs(q[2] - r[2])
			s3 += abs(q[3] - r[3])
		}
		for ; j < len(query); j++ {
			s0 += abs(query[j] - row[j])
		}
		out[i] = (s0 + s1) + (s2 + s3)
	}
}

// abs clears the sign. A branch would be guessed wrong every other time.
func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }
