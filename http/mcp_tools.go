package httpedge

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hivehub/waggle/tenant"
)

// mcpToolsMax is how many tools there can be: sets of them are bits.
const mcpToolsMax = 64

// toolSpec makes a tool of an operation of the native API.
type toolSpec struct {
	name, operation string
	// arguments are names that differ from the operation's, as clients of this
	// kind of tool know them: argument to member.
	arguments map[string]string
}

var (
	byCollection     = map[string]string{"collection": "name"}
	byCollectionName = map[string]string{"collection_name": "collection"}
	byVector         = map[string]string{"collection": "name", "vector_id": "id"}
)

// mcpTools are the tools, in the order in which they are listed.
var mcpTools = []toolSpec{
	{name: "list_collections", operation: "list_collections"},
	{name: "create_collection", operation: "create_collection"},
	{name: "get_collection_info", operation: "get_collection_info"},
	{name: "delete_collection", operation: "delete_collection"},
	{name: "insert_text", operation: "insert_text", arguments: byCollectionName},
	{name: "batch_insert_texts", operation: "insert_texts"},
	{name: "get_vector", operation: "get_vector", arguments: byVector},
	{name: "update_vector", operation: "update_vector", arguments: byVector},
	{name: "delete_vector", operation: "batch_delete", arguments: map[string]string{"vector_ids": "ids"}},
	{name: "search", operation: "search_text", arguments: byCollection},
	{name: "search_hybrid", operation: "hybrid_search", arguments: byCollection},
	{name: "search_intelligent", operation: "search_intelligent"},
	{name: "search_semantic", operation: "search_semantic"},
	{name: "contextual_search", operation: "contextual_search"},
	{name: "multi_collection_search", operation: "multi_collection_search"},
	{name: "batch_search", operation: "batch_search"},
	{name: "batch_update", operation: "batch_update"},
	{name: "batch_delete", operation: "batch_delete"},
	{name: "embed_text", operation: "embed_text"},
	{name: "get_database_stats", operation: "get_database_stats"},
	{name: "get_usage", operation: "get_usage"},
}

// mcpInside are the tools that reach nothing outside of Waggle, whatever is
// configured.
var mcpInside = []string{
	"list_collections", "get_collection_info", "get_vector", "delete_vector", "batch_delete", "batch_search", "search", "get_database_stats", "get_usage",
}

// tool is an operation as agents see it.
type tool struct {
	shown  mcp.Tool
	does   *native
	rename map[string]string // argument to member
}

// makeTools makes the tools of the operations that there are.
func (s *Server) makeTools() []tool {
	var all []tool
	for _, spec := range mcpTools {
		i := slices.IndexFunc(s.operations, func(n *native) bool { return n.id == spec.operation })
		if i < 0 {
			panic("BUG: there is no operation " + spec.operation + " for the tool " + spec.name)
		}
		all = append(all, s.makeTool(spec, s.operations[i]))
	}
	if len(all) > mcpToolsMax {
		panic("BUG: more tools than bits")
	}
	return all
}

func (s *Server) makeTool(spec toolSpec, n *native) tool {
	input := n.inputSchema(s.limits.Request)
	rename(input, spec.arguments)
	about := n.summary
	if n.about != "" {
		about += " " + n.about
	}
	reads := n.op == tenant.OpRead || n.op == tenant.OpOwnUsage || n.op == tenant.OpDownload
	destroys := n.op == tenant.OpDeletePoints || n.op == tenant.OpManageCollections && n.method == "DELETE"
	outside := n.op != tenant.OpManageCollections && !slices.Contains(mcpInside, spec.name) // texts go to an embedding endpoint
	return tool{
		does: n, rename: spec.arguments,
		shown: mcp.Tool{
			Name: spec.name, Description: about, InputSchema: input, OutputSchema: n.outputSchema(s.limits.Request),
			Annotations: &mcp.ToolAnnotations{ReadOnlyHint: reads, DestructiveHint: &destroys, OpenWorldHint: &outside},
		},
	}
}

// rename gives members of an object's schema the names of arguments.
func rename(input schema, arguments map[string]string) {
	members := maps.Clone(input["properties"].(schema))
	required, _ := input["required"].([]string)
	required = slices.Clone(required)
	for argument, member := range arguments {
		of, ok := members[member]
		if !ok {
			panic("BUG: a tool renames " + member + ", which is no member")
		}
		delete(members, member)
		members[argument] = of
		if i := slices.Index(required, member); i >= 0 {
			required[i] = argument
		}
	}
	input["properties"] = members
	if len(required) > 0 {
		input["required"] = required
	}
}

// arguments gives what an agent sent the names of the operation's members. The
// members' own names are arguments, too.
func (t *tool) arguments(given json.RawMessage) ([]byte, error) {
	given = bytes.TrimSpace(given)
	if len(given) == 0 || bytes.Equal(given, []byte("null")) {
		return []byte("{}"), nil
	}
	if len(t.rename) == 0 {
		return given, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(given, &members); err != nil {
		return nil, errValue("arguments: must be an object")
	}
	for argument, member := range t.rename {
		value, ok := members[argument]
		if !ok {
			continue
		}
		if _, twice := members[member]; twice {
			return nil, errValue(argument + " and " + member + " are the same argument")
		}
		delete(members, argument)
		members[member] = value
	}
	return json.Marshal(members)
}
