// Package gateway is the engine's one way out to the DCC: it POSTs signed DUIS
// XML to Transform, Send Command and Non-Device and says what became of it.
//
// It owns the sockets and the wall in front of them. It repeats nothing, follows
// no redirect, uses no proxy and believes nothing: the body it returns is bytes
// that package proof has yet to prove.
//
// # The wall
//
// Before a connection is asked for, the outgoing bytes are read as DUIS, and a
// Signed Pre-Command in them as GBCS, whoever made them. Only a request of the
// permitted set, under the Request ID and for the service that the caller named,
// passes; anything else is ErrNotPermitted, and the network never sees it.
//
// # What an error means
//
//	ErrNotPermitted   the wall: nothing was sent
//	ErrHeldBack       Post.Admit said no at the socket: nothing was sent
//	ErrNotWritten     no connection took a byte: nothing was sent
//	*ThrottledError   429 or 503: the DCC asks to come back later
//	ErrRejected       another 4xx but 408: the DCC will never take these bytes
//	ErrInDoubt        everything else: the DCC may have them
//
// In doubt are a reset or a time-out once a byte was on a connection, 408, every other
// 5xx, a redirect, a success without an XML body, and a body over the limit or
// cut short. What is in doubt may be POSTed again as the same bytes under the
// same Request ID, never as others.
//
// The DCC's HTTP semantics are published nowhere: the classes are an assumption,
// made so that a wrong guess repeats the same bytes at worst.
package gateway
