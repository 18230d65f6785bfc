//go:build race

package hnsw

// slow makes the large tests smaller where everything takes ten times as long.
const slow = 5
