package grains

import "github.com/hivehub/waggle/persistence/tally"

// What reads cost is counted where the data is. A query is one search, alone or
// as one of a batch, however many prefetches it has: what these compare counts
// as vectors scanned. A search that failed is none, but what it had compared
// counts. A query that asks for nothing lists points, and is none.
//
// The bytes read are those of what answers were made of: of a search's hits the
// payloads and vectors that were asked for; of a point that was retrieved,
// scrolled past or counted by going through the store, its record.

// count adds what a read of a collection cost.
func (c *Client) count(k grainKey, n tally.Counts) {
	if c.options.Tally != nil && n != (tally.Counts{}) {
		c.options.Tally.Add(k.tenant, k.collection, n)
	}
}
