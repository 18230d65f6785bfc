package embedding

import (
	"fmt"
	"time"
)

// Kind says why an endpoint gave nothing.
type Kind uint8

const (
	// KindSettings says that the endpoint as configured cannot be asked: its address is
	// not allowed, its certificate is not good, or it refuses what is asked.
	KindSettings Kind = iota + 1
	// KindRate says that the endpoint answered 429; Error.RetryAfter says for how long.
	KindRate
	// KindUnavailable says: no answer, or one of 500 and above, after all attempts,
	// or the circuit is open.
	KindUnavailable
	// KindAnswer says that the answer is not what was asked for.
	KindAnswer
	// KindInput says that the caller's texts cannot be sent.
	KindInput
)

var kindNames = [...]string{"none", "settings", "rate", "unavailable", "answer", "input"}

func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Error is why an endpoint gave nothing. It holds no byte of the endpoint's
// answer and none of its key; Host alone says which endpoint.
type Error struct {
	Kind       Kind
	Host       string
	Status     int           // of the HTTP answer, 0 without one
	RetryAfter time.Duration // 0: not known
	Message    string
	cause      error // of ours: context errors, refused addresses
}

func (e *Error) Error() string { return "endpoint " + e.Host + ": " + e.Message }

func (e *Error) Unwrap() error { return e.cause }

func (e *Endpoint) fault(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Host: e.Host(), Message: fmt.Sprintf(format, args...)}
}
