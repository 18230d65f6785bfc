package httpedge

import (
	"strconv"
	"strings"

	"github.com/hivehub/waggle/tenant"
)

// openAPI is the OpenAPI 3.1 document of the native API. It is made of the table
// of operations: what is not in it cannot be asked for, and the tests hold every
// answer against it.
func (s *Server) openAPI() schema {
	d := &schemas{limits: s.limits.Request, shared: map[string]schema{"Error": errorSchema()}}
	paths := schema{}
	for _, n := range s.operations {
		path := openPath(n.path)
		if paths[path] == nil {
			paths[path] = schema{}
		}
		paths[path].(schema)[strings.ToLower(n.method)] = d.operation(n)
	}
	return schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "Waggle", "version": s.version, "license": schema{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"summary": "Vectors, payloads and their search, for many tenants.",
			"description": "Every path is there without the prefix " + apiPrefix + ", too. A member that a request does not have is refused. " +
				"Errors have a code that does not change; their texts may.",
		},
		"jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
		"servers":           []schema{{"url": apiPrefix}, {"url": "/"}},
		"security":          []schema{{"bearer": []string{}}, {"x_api_key": []string{}}, {"api_key": []string{}}},
		"paths":             paths,
		"components": schema{
			"schemas": d.shared,
			"securitySchemes": schema{
				"bearer":    schema{"type": "http", "scheme": "bearer"},
				"x_api_key": schema{"type": "apiKey", "in": "header", "name": "X-API-Key"},
				"api_key":   schema{"type": "apiKey", "in": "header", "name": "api-key"},
			},
			"responses": schema{"Error": schema{
				"description": "What went wrong.",
				"content":     schema{jsonMedia: schema{"schema": schema{"$ref": "#/components/schemas/Error"}}},
			}},
		},
	}
}

// errorSchema is what failNative writes.
func errorSchema() schema {
	return schema{
		"type": "object", "required": []string{"error", "code", "details", "request_id"}, "additionalProperties": false,
		"properties": schema{
			"error":      schema{"type": "string", "description": "In words, for people."},
			"code":       schema{"type": "string", "description": "For programs: INVALID_REQUEST, NOT_FOUND, QUOTA_EXCEEDED, ..."},
			"details":    schema{"type": "object"},
			"request_id": schema{"type": "string", "description": "As in the header X-Request-Id."},
		},
	}
}

// openPath writes parameters as OpenAPI does.
func openPath(path string) string {
	words := strings.Split(path, "/")
	for i, w := range words {
		if name, ok := strings.CutPrefix(w, ":"); ok {
			words[i] = "{" + name + "}"
		}
	}
	return strings.Join(words, "/")
}

// operation is the document's part about one operation.
func (d *schemas) operation(n *native) schema {
	area, _, _ := strings.Cut(strings.TrimPrefix(n.path, "/"), "/")
	o := schema{
		"operationId": n.id, "summary": n.summary, "tags": []string{area},
		"x-permission": permissionRow(n.op), "x-allowed": allowed(n.op),
		"responses": schema{"default": schema{"$ref": "#/components/responses/Error"}},
	}
	if n.about != "" {
		o["description"] = n.about
	}
	if n.later {
		o["deprecated"] = true
	} else {
		o["responses"].(schema)[strconv.Itoa(n.status)] = d.answer(n)
	}
	if n.tagged {
		o["responses"].(schema)["304"] = schema{"description": "As it was when If-None-Match was its ETag."}
	}
	if list := d.parameters(n); len(list) > 0 {
		o["parameters"] = list
	}
	if body := d.body(n); body != nil {
		o["requestBody"] = body
	}
	return o
}

func (d *schemas) answer(n *native) schema {
	if n.answers != "" {
		return schema{"description": "The answer.", "content": schema{n.answers: schema{}}}
	}
	return schema{"description": "The answer.", "content": schema{jsonMedia: schema{"schema": n.answer.schema(d)}}}
}

func (d *schemas) parameters(n *native) []schema {
	var list []schema
	for i := range n.request.members.fields {
		f := &n.request.members.fields[i]
		if f.in == inBody {
			continue
		}
		s := d.field(f)
		p := schema{"name": f.name, "in": f.in, "schema": s, "required": f.required || f.in == inPath}
		if text, ok := s["description"]; ok {
			p["description"] = text
			delete(s, "description")
		}
		list = append(list, p)
	}
	return list
}

// body is what the request's body is; nil for none.
func (d *schemas) body(n *native) schema {
	inner := d.object(n.request.members, inBody)
	_, required := inner["required"]
	switch {
	case n.media == anyMedia || n.method == "GET":
		return nil
	case n.media != "":
		return schema{"required": true, "content": schema{n.media: schema{"schema": inner}}}
	case len(inner["properties"].(schema)) == 0:
		return nil
	}
	return schema{"required": required, "content": schema{jsonMedia: schema{"schema": inner}}}
}

// permissionRows are the rows of the contract's table, in its words.
var permissionRows = map[tenant.Operation]string{
	tenant.OpRead: "list, info, search, get", tenant.OpWrite: "insert, update", tenant.OpDeletePoints: "delete points",
	tenant.OpManageCollections: "create, delete, alter collections", tenant.OpBackup: "backups",
	tenant.OpDownload: "download, export, embed, own usage", tenant.OpOwnUsage: "download, export, embed, own usage",
	tenant.OpUpload: "upload, import", tenant.OpAdmin: "keys, settings, audit of the own tenant", tenant.OpSelf: "what a key is taken for",
}

func permissionRow(op tenant.Operation) string {
	row, ok := permissionRows[op]
	if !ok {
		panic("BUG: an operation of no tenant in the native API")
	}
	return row
}

// allowed are the permissions that a row is for.
func allowed(op tenant.Operation) []string {
	var list []string
	for _, p := range []tenant.Permission{tenant.Admin, tenant.ReadWrite, tenant.ReadOnly, tenant.MCP} {
		if tenant.Allowed(p, op) {
			list = append(list, string(p))
		}
	}
	return list
}
