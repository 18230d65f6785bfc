package tenant

// OperationType is the kind of an operation, as the operation log groups them.
// 0 is none.
type OperationType uint8

// The kinds. What administers (keys, tenants, nodes, plans, aliases and settings of
// collections) is a LogCluster; LogUnknown is for rows of others that say so.
const (
	LogListCollections OperationType = iota + 1
	LogCreateCollection
	LogDeleteCollection
	LogCollectionInfo
	LogInsert
	LogSearch
	LogGetVector
	LogUpdateVector
	LogDeleteVector
	LogGraph
	LogCluster
	LogFile
	LogDiscovery
	LogUnknown
	logTypeEnd
)

var operationTypes = [logTypeEnd]string{
	LogListCollections: "listcollections", LogCreateCollection: "createcollection", LogDeleteCollection: "deletecollection",
	LogCollectionInfo: "getcollectioninfo", LogInsert: "insert", LogSearch: "search", LogGetVector: "getvector",
	LogUpdateVector: "updatevector", LogDeleteVector: "deletevector", LogGraph: "graphoperation", LogCluster: "clusteroperation",
	LogFile: "fileoperation", LogDiscovery: "discovery", LogUnknown: "unknown",
}

// Valid reports whether t is one of the kinds.
func (t OperationType) Valid() bool { return t > 0 && t < logTypeEnd }

// String returns the word on the wire, "" for none.
func (t OperationType) String() string {
	if !t.Valid() {
		return ""
	}
	return operationTypes[t]
}

// ParseOperationType returns the kind that s is the word of.
func ParseOperationType(s string) (OperationType, bool) {
	for t := OperationType(1); t < logTypeEnd; t++ {
		if operationTypes[t] == s {
			return t, true
		}
	}
	return 0, false
}
