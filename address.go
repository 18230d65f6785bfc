package main

import (
	"context"
	"encoding/json"

	"github.com/hivehub/waggle/collection"
)

// methodAddress tells the leader of the system group where a node is now.
const methodAddress = "address"

// nodeAddress is where a node can be reached.
type nodeAddress struct {
	Address string `json:"address"`
	HTTP    string `json:"http"`
}

// tellAddress lets the cluster know where this node is.
func (h *neighbourhood) tellAddress() {
	ctx, cancel := context.WithTimeout(h.ctx, claimTimeout)
	defer cancel()
	here := nodeAddress{Address: h.c.Cluster.address(), HTTP: h.http}
	leader, _ := h.node.SystemReplica().Leader()
	var err error
	switch leader {
	case 0:
		return
	case h.node.Number():
		_, err = h.hub.SetMemberAddress(ctx, leader, here.Address, here.HTTP)
	default:
		var request []byte
		if request, err = json.Marshal(here); err == nil {
			_, err = h.node.Call(ctx, leader, methodAddress, request)
		}
	}
	if err != nil {
		h.log.Debug("this node's address is not known to the others yet", "err", err)
	}
}

// takeAddress notes where another node is. It is an actors.Handler: a node
// speaks for itself only.
func (h *neighbourhood) takeAddress(ctx context.Context, from uint32, request []byte) ([]byte, error) {
	var at nodeAddress
	if err := json.Unmarshal(request, &at); err != nil {
		return nil, collection.Errorf(collection.InvalidArgument, "not an address")
	}
	_, err := h.hub.SetMemberAddress(ctx, from, at.Address, at.HTTP)
	return nil, err
}
