package httpedge

import (
	"strings"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// notYet are the operations of Qdrant's API that clients call and that are not
// built: they answer 501, under the same keys as if they were.
var notYet = []struct {
	method, path string
	op           tenant.Operation
}{
	{"PUT", "/collections/:name/vectors/:vector", tenant.OpManageCollections},
	{"DELETE", "/collections/:name/vectors/:vector", tenant.OpManageCollections},
	{"GET", "/collections/:name/optimizations", tenant.OpRead},
	{"GET", "/collections/:name/cluster", tenant.OpRead},
	{"GET", "/collections/:name/shards", tenant.OpRead},
	{"PUT", "/collections/:name/shards", tenant.OpManageCollections},
	{"POST", "/collections/:name/shards/delete", tenant.OpManageCollections},
	{"POST", "/collections/:name/points/query/groups", tenant.OpRead},
	{"POST", "/collections/:name/points/search/groups", tenant.OpRead},
	{"POST", "/collections/:name/points/search/matrix/pairs", tenant.OpRead},
	{"POST", "/collections/:name/points/search/matrix/offsets", tenant.OpRead},
	{"POST", "/collections/:name/points/recommend/groups", tenant.OpRead},
	{"POST", "/collections/:name/points/discover", tenant.OpRead},
	{"POST", "/collections/:name/points/discover/batch", tenant.OpRead},
	{"POST", "/collections/:name/facet", tenant.OpRead},
	{"GET", "/collections/:name/snapshots", tenant.OpBackup},
	{"POST", "/collections/:name/snapshots", tenant.OpBackup},
	{"POST", "/collections/:name/snapshots/upload", tenant.OpUpload},
	{"PUT", "/collections/:name/snapshots/recover", tenant.OpBackup},
	{"GET", "/collections/:name/snapshots/:snapshot", tenant.OpDownload},
	{"DELETE", "/collections/:name/snapshots/:snapshot", tenant.OpBackup},
	{"GET", "/cluster", tenant.OpRead},
	{"GET", "/telemetry", tenant.OpRead},
	{"GET", "/metrics", tenant.OpRead},
}

func unimplemented(method, path string) handler {
	words := strings.Split(path, "/")
	for i, w := range words {
		if name, ok := strings.CutPrefix(w, ":"); ok {
			words[i] = "{" + name + "}"
		}
	}
	operation := method + " " + strings.Join(words, "/")
	return func(*request, tenant.Context) error {
		return collection.Errorf(collection.Unimplemented, "%s is not supported yet", operation)
	}
}
