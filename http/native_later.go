package httpedge

import (
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// nativeLater are operations of older clients that are not built: they answer
// 501 and say what to use, to those who might do them if they were.
func nativeLater() []*native {
	const manage = tenant.OpManageCollections
	return []*native{
		laterOf[oneCollection]("rename_collection", "POST", "/collections/:name/rename", manage, "Rename a collection.", "give the collection an alias (POST /qdrant/collections/aliases), or copy its vectors to a new one"),
		laterOf[oneCollection]("set_collection_ttl", "POST", "/collections/:name/ttl", manage, "Let the vectors of a collection expire.", "keep a time in the payload and call delete_by_filter with a range over it"),
		laterOf[oneCollection]("reindex_collection", "POST", "/collections/:name/reindex", manage, "Build a collection's graph anew.", "graphs keep themselves up to date; change their settings with update_collection"),
		laterOf[oneCollection]("reencode_collection", "POST", "/collections/:name/reencode", manage, "Encode a collection's vectors anew.", "vectors in graphs are always kept as a byte a value beside the whole ones"),
		laterOf[oneCollection]("explain_search", "POST", "/collections/:name/explain", tenant.OpRead, "Explain a search.", "compare the search with one with exact set to true"),
		laterOf[oneVector]("set_vector_expiry", "PATCH", "/collections/:name/vectors/:id/expiry", tenant.OpWrite, "Let a vector expire.", "keep a time in the payload and call delete_by_filter with a range over it"),
	}
}

func laterOf[Q any](id, method, path string, op tenant.Operation, summary, instead string) *native {
	return operation[Q, nothing]{
		id: id, method: method, path: path, op: op, logs: tenant.LogCluster, later: true,
		summary: summary + " Not built: it answers 501.", about: "Instead, " + instead + ".", media: anyMedia,
		do: func(*request, tenant.Context, *Q) (nothing, error) {
			e := collection.Errorf(collection.Unimplemented, "%s is not built; instead, %s", id, instead)
			e.Details = map[string]any{"see": "docs/api.md"}
			return nothing{}, e
		},
	}.native()
}
