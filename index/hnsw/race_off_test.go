//go:build !race

package hnsw

// slow makes the large tests smaller under the race detector.
const slow = 1
