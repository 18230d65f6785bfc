package httpedge

import (
	"regexp"
	"testing"
)

// typeRules put every route into a kind of the operation log, written down a
// second time: the first that matches "METHOD /path" decides.
var typeRules = []struct{ pattern, want string }{
	{`^operator `, "clusteroperation"},
	{`^native \w+ /(auth|hub/usage)/`, "clusteroperation"},
	{`^native \w+ /(api/v1/)?(mcp|stats|hub/backups|files|export|import|embed)`, "*"}, // as their rows say
	{`^\w+ GET /(api/v1/)?collections$`, "listcollections"},
	{`^\w+ GET /(collections/:name/)?aliases$`, "listcollections"},
	{`^\w+ GET /(api/v1/)?collections/:name(/exists|/optimizations|/cluster|/shards)?$`, "getcollectioninfo"},
	{`^qdrant GET /cluster$`, "getcollectioninfo"},
	{`^qdrant GET /(telemetry|metrics)$`, "clusteroperation"},
	{`^\w+ (PUT|POST) /(api/v1/)?collections(/:name)?$`, "createcollection"},
	{`^\w+ DELETE /(api/v1/)?collections/:name$`, "deletecollection"},
	{`snapshots`, "fileoperation"},
	{`^qdrant PUT /collections/:name/points$`, "insert"},
	{`^qdrant (PUT|POST) /collections/:name/points/(vectors|payload|payload/delete|payload/clear)$`, "updatevector"},
	{`^qdrant POST /collections/:name/points/(delete|batch|vectors/delete)$`, "deletevector"},
	{`^qdrant (GET|POST) /collections/:name/points(/:id|/scroll|/count)?$`, "getvector"},
	{`^qdrant POST /collections/:name/facet$`, "getvector"},
	{`/discover`, "discovery"},
	{`^qdrant POST /collections/:name/points/(query|search|recommend)`, "search"},
	{`^qdrant (PUT|PATCH|POST|DELETE) /collections/`, "clusteroperation"},
	{`^mcp `, "*"}, // as the tools say
	{`^native `, "*"},
}

// TestEveryRouteHasItsType compares what the route table says with the rules
// above.
func TestEveryRouteHasItsType(t *testing.T) {
	s := New(Options{Nodes: silentNodes{}})
	for _, rt := range s.routes() {
		if rt.open != nil {
			continue
		}
		want := ""
		for _, r := range typeRules {
			if regexp.MustCompile(r.pattern).MatchString(rt.name()) {
				want = r.want
				break
			}
		}
		if got := rt.operationType(); !got.Valid() || want != "*" && got.String() != want {
			t.Errorf("%s is a %q, want %q", rt.name(), got, want)
		}
	}
}
