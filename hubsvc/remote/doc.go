// Package remote is the hub that is elsewhere: the client of a hub outside of
// the cluster, which is another Waggle's embedded hub or any service that speaks
// the same API.
//
// It owns what this node knows of the hub: keys, by their HMAC and never as they
// are, tenants' limits, how far it has read the hub's events, and whether the
// hub answers. Every request of a client is answered from what is known as long
// as that is fresh; the hub is asked once for a key, however many wait for the
// answer. One goroutine follows the hub's events and so is also the probe that
// tells when a hub that was away is back.
//
//	edge --key--> grants --miss--> flight --POST validate--> hub
//	                ^                                         |
//	                '------------ follow <--- GET events -----'
//
// It never lets in what the hub did not say is good, and never for longer than
// the times of Options: an answer that is cut short, too long, or not of the
// form that it must have is an error of the hub, which says nothing about a key.
// An operator's key is one of the cluster's own, and looked up there; everything
// else of the cluster's own hub means nothing here.
//
// Start makes it run, Stop ends it and waits. Tests drive it against an embedded
// hub over HTTP, with a proxy between them that does what networks do.
package remote
