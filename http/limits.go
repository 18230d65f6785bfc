package httpedge

import (
	"time"

	"github.com/hivehub/waggle/collection"
)

// Limits bounds what clients can make the edge hold or wait for.
type Limits struct {
	Request collection.Limits // of one request

	Connections      int           // open at once, per listener
	HeaderBytes      int           // request line and headers
	BodyBytesAllMax  int64         // request bodies held at once, all requests together
	ImportBytes      int64         // of the body of an import, as it is sent and as it is decompressed
	FileBytes        int           // of a file that is uploaded, to be stored in chunks
	BodyRateMin      int           // bytes per second below which an upload is cut
	HeaderTimeout    time.Duration // from the first byte of a request to the end of its headers
	BodyGrace        time.Duration // added to what BodyRateMin allows a body
	IdleTimeout      time.Duration // between two requests of one connection
	ResponseTimeout  time.Duration // to hand an answer to the client
	ReadDeadline     time.Duration // of a reading request that names none
	WriteDeadline    time.Duration // of a changing request that names none
	RequestedTimeMax time.Duration // what a client may ask for

	AuthFailures int           // wrong keys of one source within AuthWindow before it is blocked
	AuthWindow   time.Duration // in which they count
	AuthBlock    time.Duration // how long its wrong keys are then refused

	MCPPerMinute  int // calls of tools by all agents of a tenant
	MCPPerHour    int // likewise
	MCPConcurrent int // requests of agents of a tenant at a time
}

// DefaultLimits returns the limits of a node that configures none.
func DefaultLimits() Limits {
	return Limits{
		Request:          collection.DefaultLimits(),
		Connections:      10_000,
		HeaderBytes:      16 << 10,
		BodyBytesAllMax:  1 << 30,
		ImportBytes:      8 << 30,
		FileBytes:        10 << 20,
		BodyRateMin:      64 << 10,
		HeaderTimeout:    10 * time.Second,
		BodyGrace:        10 * time.Second,
		IdleTimeout:      75 * time.Second,
		ResponseTimeout:  60 * time.Second,
		ReadDeadline:     5 * time.Second,
		WriteDeadline:    30 * time.Second,
		RequestedTimeMax: 5 * time.Minute,
		AuthFailures:     5,
		AuthWindow:       time.Minute,
		AuthBlock:        5 * time.Minute,
		MCPPerMinute:     100,
		MCPPerHour:       1000,
		MCPConcurrent:    10,
	}
}
