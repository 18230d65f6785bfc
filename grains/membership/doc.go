// Package membership says who is in the cluster, as Consul knows it.
//
// Owns: this node's registration in Consul (service waggle-<cluster>, with a
// TTL check), the cluster's birth key, and the list of members that the others'
// registrations make. Membership says where a node can be reached and that its
// process lives. It never says who owns what: that is raft's to decide, so a
// wrong or late list costs time and never data.
//
// Two goroutines, both owned by Membership and ended by Stop or Leave:
//
//	keeper: claim birth key -> look for a rival -> register -> refresh each TTL/3
//	watch : blocking query for the service -> roster -> OnChange
//
// The roster is pure: views of the service go in with the time at which they
// were asked for, members come out. What it holds against a Consul that errs:
//
//   - While Consul does not answer, the list stays as it is.
//   - A member that Consul lost (its check critical, its registration gone) is
//     kept for Grace, and judged by a view that was asked for after that.
//   - The time of grace only runs while Consul knows this node itself: when a
//     stall let every check expire, or Consul lost its data, all are given the
//     time to come back.
//   - A member that said it is leaving goes at once.
//
// Consul's agent may lose its state, too: a refresh that answers 404, or a view
// without this node, makes the keeper begin anew with the birth key. The key
// waggle/<cluster>/birth is created and never overwritten: who finds another
// id in it is in the wrong place and says so (ErrForeign).
//
// Every call has a time limit and carries the token. Failures are retried with
// a jittered pause of 100 ms to 5 s and logged when their kind changes.
//
// Never: a message between nodes, a decision about placement, anything that a
// running node needs in order to serve. A restarted node has its peers'
// addresses on disk and works without Consul; Claim is for those who can wait.
//
// Tests: the roster by table; Membership against a fake Consul with faults in
// a synctest bubble; and, under the build tag consul, against the real one
// (make test-consul).
package membership
