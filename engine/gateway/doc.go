// Package gateway sends requests to the DCC: it POSTs signed DUIS XML to
// Transform, Send Command and Non-Device, and returns the reply or the class of
// the failure. Nothing else in the engine sends to the DCC.
//
// It owns the sockets and the wall: its own check of the bytes before they leave.
// It retries nothing, follows no redirect and uses no proxy. It does not verify the
// body that it returns: package proof does.
//
// # The wall
//
// Before it connects, the gateway reads the outgoing bytes as DUIS, and a Signed
// Pre-Command in them as GBCS. They must be a request of the permitted set, with
// the Request ID and for the service that the caller named. Everything else is
// ErrNotPermitted, and nothing is sent.
//
// # What an error means
//
//	ErrNotPermitted   the wall: nothing was sent
//	ErrNotAdmitted    Post.Admit refused it at the socket: nothing was sent
//	ErrNotWritten     no connection took a byte: nothing was sent
//	*ThrottledError   429 or 503: the DCC asks to come back later
//	ErrRejected       another 4xx but 408: the DCC will never take these bytes
//	ErrInDoubt        everything else: the DCC may have them
//
// These are in doubt: a reset or a time-out after a byte was on a connection, 408, every
// other 5xx, a redirect, a success without an XML body, and a body over the limit or
// cut short. A request in doubt may be POSTed again as the same bytes under the
// same Request ID, never as other bytes.
//
// The DCC's HTTP semantics are published nowhere: the classes are an assumption,
// made so that a wrong guess repeats the same bytes at worst.
package gateway
