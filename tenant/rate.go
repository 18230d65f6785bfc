package tenant

import "time"

// RateWindow is one of the times that Rates are given for.
type RateWindow uint8

// The windows, the shortest first.
const (
	RateMinute RateWindow = iota
	RateHour
	RateDay
	RateWindows int = iota
)

// String returns the window's word, in errors and metrics.
func (w RateWindow) String() string { return [...]string{"minute", "hour", "day"}[w] }

// Length is how long the window is.
func (w RateWindow) Length() time.Duration {
	return [...]time.Duration{time.Minute, time.Hour, 24 * time.Hour}[w]
}

// Of returns how many requests r allows in a window, Unlimited for a nil r.
func (r *Rates) Of(w RateWindow) int64 {
	if r == nil {
		return Unlimited
	}
	return [...]int64{r.PerMinute, r.PerHour, r.PerDay}[w]
}

// Limited reports whether r limits anything.
func (r *Rates) Limited() bool {
	return r != nil && (r.PerMinute >= 0 || r.PerHour >= 0 || r.PerDay >= 0)
}

// RateLeft is how much of the rate that ends first is left.
type RateLeft struct {
	Limit     int64         `msgpack:"l"` // requests in its window
	Remaining int64         `msgpack:"r"`
	Reset     time.Duration `msgpack:"t"` // until it is whole again, if nothing is asked
}

// RateCaller is whose rates a request is under.
type RateCaller struct {
	Tenant ID
	Key    KeyID  // "" has no rates
	Rates  *Rates // of the tenant; nil: none
	OfKey  *Rates
}

// RateCaller returns whose rates a request of c is under.
func (c *Context) RateCaller() RateCaller {
	return RateCaller{Tenant: c.TenantID, Key: c.KeyID, Rates: c.Rates, OfKey: c.KeyRates}
}

// RateAnswer says whether a request is within its rates.
type RateAnswer struct {
	Limited bool // there are rates; else nothing more is said
	Refused bool // nothing was taken
	Left    RateLeft
	// Of a refusal: which rate refused, whether it is the key's or the tenant's,
	// and how long until a request could be within it. Of a limit of 0 that is
	// the length of its window.
	Window RateWindow
	OfKey  bool
	Wait   time.Duration
}
