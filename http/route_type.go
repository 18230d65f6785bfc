package httpedge

import (
	"strings"

	"github.com/hivehub/waggle/tenant"
)

// operationType is the kind of the route's operation in the operation log: what
// the row says, or what follows from its permission and its path. It is 0 for
// what neither tells: then the row has to say it.
func (rt *route) operationType() tenant.OperationType {
	switch {
	case rt.logs != 0:
		return rt.logs
	case rt.surface == surfaceOperator:
		return tenant.LogCluster
	}
	switch rt.op {
	case tenant.OpRead:
		return readType(rt)
	case tenant.OpWrite:
		return writeType(rt.method, lastWord(rt.path))
	case tenant.OpDeletePoints:
		return tenant.LogDeleteVector
	case tenant.OpManageCollections:
		return manageType(rt)
	case tenant.OpBackup, tenant.OpDownload, tenant.OpUpload:
		return tenant.LogFile
	case tenant.OpAdmin, tenant.OpOwnUsage, tenant.OpUsage, tenant.OpSelf, tenant.OpOperator, tenant.OpService:
		return tenant.LogCluster
	case tenant.OpPublic: // it is not logged
	}
	return 0
}

// lastWord is the last part of a path that is no parameter.
func lastWord(path string) string {
	words := strings.Split(path, "/")
	for i := len(words) - 1; i >= 0; i-- {
		if words[i] != "" && words[i][0] != ':' {
			return words[i]
		}
	}
	return ""
}

// readTypes are the kinds of what reads, by the last word of the path.
var readTypes = map[string]tenant.OperationType{
	"exists": tenant.LogCollectionInfo, "aliases": tenant.LogListCollections, "stats": tenant.LogCollectionInfo,
	"optimizations": tenant.LogCollectionInfo, "shards": tenant.LogCollectionInfo, "cluster": tenant.LogCollectionInfo,
	"telemetry": tenant.LogCluster, "metrics": tenant.LogCluster,
	"points": tenant.LogGetVector, "vectors": tenant.LogGetVector, "scroll": tenant.LogGetVector, "count": tenant.LogGetVector, "facet": tenant.LogGetVector,
}

func readType(rt *route) tenant.OperationType {
	word := lastWord(rt.path)
	switch {
	case word == "collections" && strings.HasSuffix(rt.path, "/collections"):
		return tenant.LogListCollections
	case word == "collections":
		return tenant.LogCollectionInfo
	case strings.Contains(rt.path, "discover"):
		return tenant.LogDiscovery
	case strings.Contains(rt.path, "search"), strings.Contains(rt.path, "/query"), strings.Contains(rt.path, "/recommend"):
		return tenant.LogSearch
	}
	return readTypes[word]
}

func writeType(method, word string) tenant.OperationType {
	switch {
	case strings.HasPrefix(word, "insert"), word == "batch_insert", word == "points" && method == "PUT", word == "copy":
		return tenant.LogInsert
	case word == "vectors" && method == "POST":
		return tenant.LogInsert
	case word == "payload", word == "vectors", word == "clear", word == "batch_update", word == "bulk_update_metadata", word == "delete":
		return tenant.LogUpdateVector
	}
	return 0
}

// manageType tells the making and the end of a collection from all that changes
// one.
func manageType(rt *route) tenant.OperationType {
	if lastWord(rt.path) != "collections" {
		return tenant.LogCluster // aliases, payload indexes, shards
	}
	switch rt.method {
	case "PUT", "POST":
		return tenant.LogCreateCollection
	case "DELETE":
		return tenant.LogDeleteCollection
	}
	return tenant.LogCluster
}
