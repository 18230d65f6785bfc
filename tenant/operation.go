package tenant

// OperationLog is one row of the operation log: what was asked, by whom, and
// how it went. It never holds data of the tenant: no payload, vector, text or
// key.
type OperationLog struct {
	OperationID string            `json:"operation_id"` // a UUID; a row that was sent twice has one
	Tenant      ID                `json:"tenant_id"`
	Operation   string            `json:"operation"`      // the route, or the tool
	Type        string            `json:"operation_type"` // listcollections, insert, search, ...
	Collection  string            `json:"collection,omitempty"`
	Timestamp   int64             `json:"timestamp"` // Unix milliseconds
	DurationMS  float64           `json:"duration_ms"`
	Success     bool              `json:"success"`
	Error       string            `json:"error,omitempty"` // its code
	Metadata    map[string]string `json:"metadata,omitempty"`
}
