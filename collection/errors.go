package collection

import (
	"errors"
	"fmt"
)

// Code is one of a closed set of error codes, in gRPC's words. It crosses the
// wire between nodes as a number: append, never reorder.
type Code uint8

// The codes. OK is never in an Error.
const (
	OK                 Code = iota
	InvalidArgument         // the request is wrong whatever the state is
	NotFound                // what the request names is not there (or not the tenant's)
	AlreadyExists           // what the request would create is there
	FailedPrecondition      // the state forbids the request
	Unauthenticated         // no valid credential
	PermissionDenied        // the credential does not allow the request
	ResourceExhausted       // a limit of the tenant, or of the node (Reason says which)
	Unavailable             // cannot be decided now; retry. Details["outcome"]="unknown": it may have taken effect
	Aborted                 // lost a race; retry from the read
	DeadlineExceeded        // the caller's time is over
	DataLoss                // stored bytes are corrupt; that partition stops
	Internal                // a fault of ours
	Unimplemented           // known, not built
	CodeEnd                 // one past the last code
)

var codeNames = [CodeEnd]string{
	"ok", "invalid_argument", "not_found", "already_exists", "failed_precondition", "unauthenticated",
	"permission_denied", "resource_exhausted", "unavailable", "aborted", "deadline_exceeded", "data_loss",
	"internal", "unimplemented",
}

// String returns the code's word.
func (c Code) String() string {
	if c < CodeEnd {
		return codeNames[c]
	}
	return fmt.Sprintf("code(%d)", uint8(c))
}

// Reason narrows a Code where a surface answers differently. It is a word of
// the contract (QUOTA_EXCEEDED, IDEMPOTENCY_REUSED, ...), or "".
type Reason string

// The reasons in use.
const (
	ReasonNone              Reason = ""
	ReasonValidation        Reason = "VALIDATION"          // well formed, but a value is out of its range (Qdrant's 422)
	ReasonBadRequest        Reason = "BAD_REQUEST"         // parts of the request do not go together (Qdrant's "Bad request")
	ReasonQuota             Reason = "QUOTA_EXCEEDED"      // a size quota of the tenant
	ReasonRate              Reason = "RATE_LIMIT_EXCEEDED" // a rate; Details["retry_after_s"]
	ReasonOverload          Reason = "OVERLOADED"          // admission full; retry
	ReasonBusy              Reason = "TOO_MANY_REQUESTS"   // too many of the tenant's wait for their turn; Details["retry_after_s"]
	ReasonIndexBehind       Reason = "INDEX_BEHIND"
	ReasonStorageFull       Reason = "STORAGE_FULL"
	ReasonIdempotencyReused Reason = "IDEMPOTENCY_REUSED"
	ReasonTooLarge          Reason = "PAYLOAD_TOO_LARGE"
	ReasonTenantSuspended   Reason = "TENANT_SUSPENDED"
	ReasonNonceReplayed     Reason = "AUTH_NONCE_REPLAYED" // a signed request that came before
	ReasonNotLeader         Reason = "NOT_LEADER"          // Details["leader"], Details["version"]
)

// Error is every error that may reach a caller. Message is for the caller;
// what is wrapped stays in the log.
type Error struct {
	Code    Code
	Reason  Reason
	Message string
	Details map[string]any
	Err     error
}

// Error returns the code and the message, then what is wrapped.
func (e *Error) Error() string {
	s := e.Code.String() + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a code and a message for the caller.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the first Error in err's chain, Internal for any
// other error, and OK for nil.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// ReasonOf returns the reason of the first Error in err's chain, or "".
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ReasonNone
}
