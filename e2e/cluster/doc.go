// Package cluster holds the black-box tests of several nodes: real binaries, a
// real Consul, a network that can be cut between any two of them, faults that
// overlap, clients that write and read all the while, and checkers that hold
// what the clients saw against what a correct database may answer. It imports
// nothing of Waggle's.
//
// Who owns what: a process owns one operating system process; a node the
// processes of one member, one after the other, its data and its addresses; a
// fleet the nodes, Consul and the network between them; the workload the
// clients and their history; the nemesis the faults.
//
// The network is either TCP proxies (fabric: no privileges; a connection's
// dialler and lane are read from the TLS server name
// `<lane>.<from>.<to>.waggle`) or, with -netns, network namespaces and nft
// drop rules (namespaces: root).
package cluster
