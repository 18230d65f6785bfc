//go:build !amd64

package distance

func detect() level { return reference }

func dotMany(_ level, query, rows, out []float32) { dotManyReference(query, rows, out) }

func l2Many(_ level, query, rows, out []float32) { l2ManyReference(query, rows, out) }

func l1Many(_ level, query, rows, out []float32) { l1ManyReference(query, rows, out) }
