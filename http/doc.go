// Package httpedge is the edge of a node: it turns HTTP into calls of the
// engine and of the hub, and their answers and errors into the words of each
// surface (native, operator, and Qdrant's REST API).
//
// It owns the listeners, the route table, authentication, the limits of one
// request (size, depth, time), the JSON codecs of the wire and the error tables.
// Every handler that is not public takes a tenant.Context, and only the route
// table can call one, so no handler runs without a validated key that is allowed
// the route's operation.
//
// It never touches a store, an actor or a log, keeps nothing of a tenant
// between two requests, and never lets the text of an internal fault out.
package httpedge
