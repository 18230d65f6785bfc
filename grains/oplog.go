package grains

import (
	"context"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/oplog"
	"github.com/hivehub/waggle/tenant"
)

// methodLogs asks a node for rows of its operation log. The request is a
// tenant.LogQuery, the answer a tenant.LogPage.
const methodLogs = "logs"

// logsTimeout is how long a query waits for one node's rows.
const logsTimeout = 5 * time.Second

// LogNode is a node that may have rows.
type LogNode struct {
	Number uint32
	Name   string
}

// Logs is the operation log of the cluster: what this node answered is in its
// own files, and a query asks every node for theirs. It starts no goroutine
// that outlives a call.
type Logs struct {
	*oplog.Log
	node  *actors.Node
	nodes func() []LogNode
}

// NewLogs answers other nodes' queries from log, and sends those of this node to
// the nodes that nodes names, this one among them or not.
func NewLogs(node *actors.Node, log *oplog.Log, nodes func() []LogNode) *Logs {
	l := &Logs{Log: log, node: node, nodes: nodes}
	node.Handle(methodLogs, l.answerLogs)
	return l
}

func (l *Logs) answerLogs(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
	var q tenant.LogQuery
	if err := msgpack.Unmarshal(request, &q); err != nil || q.Limit < 1 || q.Limit > tenant.LogPageMax {
		return nil, collection.Errorf(collection.InvalidArgument, "not a query of the operation log")
	}
	var p tenant.LogPage
	var err error
	if p.Rows, p.More, err = l.Log.Query(ctx, q); err != nil {
		return nil, err
	}
	return msgpack.Marshal(&p)
}

// Query returns the first rows that q selects on all nodes, each once. The
// answer names the nodes that did not give theirs.
func (l *Logs) Query(ctx context.Context, q tenant.LogQuery) (tenant.LogPage, error) {
	type answer struct {
		name string
		page tenant.LogPage
		err  error
	}
	others := slices.DeleteFunc(slices.Clone(l.nodes()), func(n LogNode) bool { return n.Number == l.node.Number() })
	answers := make(chan answer, len(others))
	for _, n := range others {
		go func() {
			p, err := l.ask(ctx, n.Number, q)
			answers <- answer{n.Name, p, err}
		}()
	}
	var all tenant.LogPage
	var err error
	all.Rows, all.More, err = l.Log.Query(ctx, q)
	for range others {
		a := <-answers
		if a.err != nil {
			all.Away = append(all.Away, a.name)
			continue
		}
		all.Rows, all.More = append(all.Rows, a.page.Rows...), all.More || a.page.More
	}
	if err != nil {
		return tenant.LogPage{}, err
	}
	all.Rows = tenant.SortLog(all.Rows)
	if len(all.Rows) > q.Limit {
		all.Rows, all.More = all.Rows[:q.Limit], true
	}
	slices.Sort(all.Away)
	return all, nil
}

func (l *Logs) ask(ctx context.Context, number uint32, q tenant.LogQuery) (p tenant.LogPage, err error) {
	ctx, cancel := context.WithTimeout(ctx, logsTimeout)
	defer cancel()
	request, err := msgpack.Marshal(&q)
	if err != nil {
		return p, err
	}
	b, err := l.node.Call(ctx, number, methodLogs, request)
	if err != nil {
		return p, err
	}
	err = msgpack.Unmarshal(b, &p)
	return p, err
}
