package tenant

// Plan is a named set of limits. The hub owns the plans; a tenant has one.
type Plan struct {
	Name   string `msgpack:"n"`
	Limits Limits `msgpack:"l"`           // Version is the log index of the plan's last change
	Rates  *Rates `msgpack:"r,omitempty"` // nil: unlimited. Never changed.
}

// Rates are how many requests a tenant or a key may make. A negative number is
// no limit, 0 allows nothing.
type Rates struct {
	PerMinute int64 `msgpack:"m"`
	PerHour   int64 `msgpack:"h"`
	PerDay    int64 `msgpack:"d"`
}

// OrUnlimited returns what r says; nil says unlimited.
func (r *Rates) OrUnlimited() Rates {
	if r == nil {
		return Rates{PerMinute: Unlimited, PerHour: Unlimited, PerDay: Unlimited}
	}
	return *r
}

// The names of the plans that every cluster is born with.
const (
	PlanFree       = "free"
	PlanPro        = "pro"
	PlanEnterprise = "enterprise"
)

// Plans are the plans that every cluster is born with, smallest first. A
// megabyte is 2^20 bytes here as everywhere in Waggle.
func Plans() []Plan {
	return []Plan{
		{Name: PlanFree, Limits: Limits{Vectors: 10_000, Bytes: 50 << 20, Collections: 1}},
		{Name: PlanPro, Limits: Limits{Vectors: 500_000, Bytes: 5 << 30, Collections: 5}},
		{Name: PlanEnterprise, Limits: Limits{Vectors: Unlimited, Bytes: Unlimited, Collections: Unlimited}},
	}
}
