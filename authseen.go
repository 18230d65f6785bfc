package main

import (
	"context"
	"encoding/json"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

// methodAuthSeen tells the leader of the system group what an edge has seen of
// keys, for the audit log.
const methodAuthSeen = "auth-seen"

// authRecorder is the way from the edge to the audit log, wherever the hub is led.
func authRecorder(n *actors.Node, hub *hubsvc.Embedded) func(context.Context, []hubsvc.AuthSeen) error {
	return func(ctx context.Context, rows []hubsvc.AuthSeen) error {
		switch leader, _ := n.SystemReplica().Leader(); leader {
		case 0:
			return collection.Errorf(collection.Unavailable, "the hub has no leader")
		case n.Number():
			return hub.RecordAuth(ctx, rows)
		default:
			request, err := json.Marshal(rows)
			if err == nil {
				_, err = n.Call(ctx, leader, methodAuthSeen, request)
			}
			return err
		}
	}
}

// takeAuthSeen writes what another node's edge has seen.
func takeAuthSeen(ctx context.Context, hub *hubsvc.Embedded, request []byte) error {
	var rows []hubsvc.AuthSeen
	if err := json.Unmarshal(request, &rows); err != nil {
		return collection.Errorf(collection.InvalidArgument, "not what an edge has seen")
	}
	return hub.RecordAuth(ctx, rows)
}
