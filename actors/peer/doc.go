// Package peer is the transport between the nodes of a cluster: raft messages,
// actor messages and transfers, over mutual TLS.
//
// # Connections
//
// For each ordered pair of nodes there are four connections, one per lane: the
// dialler sends, the acceptor receives, and what the acceptor has to say goes
// over connections that it dials itself. A lane has a TCP connection of its
// own because in a shared one a stalled image would hold the heartbeats in the
// kernel's buffer.
//
//	lane        carries                              queue    when it is full
//	Heartbeats  raft heartbeats, answers, votes       4 MB    dropped and counted
//	Appends     all other raft messages              64 MB    dropped and counted
//	Requests    actor messages of up to 64 KB        16 MB    Send fails
//	Bulk        larger ones; transfers              128 MB    Send fails; Transfer waits
//
// A queue is counted until its bytes are written, takes a single item of any
// permitted size when it is empty, and is emptied, dropping what is in it, when
// its connection is lost: nothing is sent twice, and nothing old after a long
// partition. Connections are made on first use and when the other node shows
// itself, and again after each loss, with a jittered back-off (50 ms to 2 s).
//
// # Who is there
//
// TLS 1.3, ALPN waggle-peer/1, server name <lane>.<from>.<to>.waggle. Both sides
// verify the other's certificate against the pool (for server or client use)
// and read who it is from it, never from a host name: one URI SAN
// waggle://<cluster, 32 hex digits>/<number>, common name = the node's name.
// The hello that follows must say the same. The dialler also checks that it
// reached the number it meant. A raft message must name replicas of the two
// nodes (a replica id has its node's number in the upper half).
//
// # Frames
//
// All numbers are little endian. TLS protects every byte, so that only
// transfers, which touch disks, have checksums of their own. A length is
// checked against the limit of its kind and lane before anything is allocated,
// and a frame that breaks a rule ends its connection.
//
//	0        4      5
//	+--------+------+--------+
//	| length | kind | body   |   length: u32 of kind and body
//	+--------+------+--------+
//
//	hello    magic "wagp" | version u16 | lane u8 | cluster 16 | number u32 | name    both ways, once
//	refused  text                                      instead of the acceptor's hello
//	ping     -                                         when nothing was heard for a while
//	pong     -                                         acceptor: bytes arrived
//	raft     { group u64 | length u32 | raftpb.Message } ...
//	message  payload                                   at most 64 KB
//	piece    message u32 | total u32 | offset u32 | bytes   of a larger payload, in order
//	begin    id u64 | size u64 | meta                  of a transfer; again = where are you?
//	chunk    id u64 | offset u64 | CRC-32C u32 | bytes at most 256 KB, in order
//	end      id u64 | XXH64 of the content u64
//	cancel   id u64
//	status   id u64 | have u64 | limit u64 | flags u8  receiver: bytes written, bytes permitted
//	result   id u64 | code u8 | answer or text
//
// # Transfers
//
// The receiver permits bytes up to limit (4 MB past what it has written), so
// that a slow disk slows its sender and nothing piles up. It takes chunks in
// order only; a chunk with a wrong checksum is refused, and the sender goes
// back to it. After a reconnect, or five seconds without news, the sender
// begins again under the same id and is told from where. The result is kept
// until the sender confirms it by a cancel.
//
// # Silence
//
// An acceptor answers arriving bytes with a pong (at most four a second); a
// dialler that hears none sends a ping. Whoever hears nothing on Heartbeats for
// 2 s (10 s on other lanes, where a slow link may be busy) resets the
// connection, so that a stopped process or a silent partition is noticed
// although the kernel keeps the connection. Silence on Heartbeats resets all
// lanes of that peer.
//
// # Life
//
// Start owns the listener; Stop ends every goroutine and waits, without
// sending what is queued. All callbacks come from the transport's goroutines
// and must not block, Accept, Sink and Join excepted: those have a goroutine
// each. Tests use real TLS over loopback and a proxy that stalls, cuts,
// throttles and flips.
package peer
