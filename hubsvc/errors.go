package hubsvc

import "fmt"

// Code is a word of the contract that an edge answers with.
type Code string

// The codes, each with what brings it about.
const (
	CodeAuthMissing        Code = "AUTH_MISSING"        // no key in the request
	CodeAuthInvalidFormat  Code = "AUTH_INVALID_FORMAT" // not a key, or a mistyped one
	CodeAuthInvalidKey     Code = "AUTH_INVALID_KEY"    // well formed, but unknown or revoked
	CodeAuthKeyExpired     Code = "AUTH_KEY_EXPIRED"    // was valid
	CodeNonceReplayed      Code = "AUTH_NONCE_REPLAYED" // a signed request came a second time
	CodeForbidden          Code = "FORBIDDEN"           // the key is valid, and not for this
	CodeTenantSuspended    Code = "TENANT_SUSPENDED"    // the key is valid, its tenant is suspended
	CodeInvalidRequest     Code = "INVALID_REQUEST"     // wrong whatever the state is
	CodeNotFound           Code = "NOT_FOUND"           // no such tenant, key, plan, member, token or group
	CodeAlreadyExists      Code = "ALREADY_EXISTS"      // the id or the key is taken
	CodeFailedPrecondition Code = "FAILED_PRECONDITION" // the state forbids it
	CodeQuotaExceeded      Code = "QUOTA_EXCEEDED"      // a limit of this package
	CodeUnavailable        Code = "UNAVAILABLE"         // the hub cannot answer now
	CodeDataLoss           Code = "DATA_LOSS"           // a stored record does not decode
)

// Error is every error that this package makes. Message is for the caller and
// holds no key; what is wrapped stays in the log.
type Error struct {
	Code    Code
	Message string
	Err     error
}

// Error returns the code and the message, then what is wrapped.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// The answers to a bad credential are values: refusing costs no allocation.
var (
	errMissing  = &Error{Code: CodeAuthMissing, Message: "no access key: send Authorization: Bearer KEY, X-API-Key or api-key"}
	errFormat   = &Error{Code: CodeAuthInvalidFormat, Message: "the access key is malformed or mistyped"}
	errKey      = &Error{Code: CodeAuthInvalidKey, Message: "the access key is not valid"}
	errExpired  = &Error{Code: CodeAuthKeyExpired, Message: "the access key has expired"}
	errNoTenant = &Error{Code: CodeNotFound, Message: "there is no such tenant"}
	errReplayed = &Error{Code: CodeNonceReplayed, Message: "the signed request has been received before"}
	errUnborn   = &Error{Code: CodeUnavailable, Message: "the hub has not started yet"}
)

func errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
