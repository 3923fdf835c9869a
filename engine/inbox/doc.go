// Package inbox is where the DCC delivers asynchronous responses and alerts: one
// HTTP handler that proves a message, makes it durable, and only then says so.
//
//	POST /smartdcc/duis   application/xml, one DUIS Response
//
//	204  proven and durable: the DCC may forget it
//	400  it cannot be read, or is not proven: final, the DCC does not send again
//	405, 413, 415   not a POST, too large, not XML: final as well
//	503  it could not be decided now, or not be written: the DCC sends again
//
// That the DCC takes 204 as received, sends again after a 5xx or a time-out and
// not after a 4xx is an assumption. No answer tells why: whoever knocks learns nothing.
//
// The inbox does not match answers to requests and does not know duplicates: a
// message that is delivered twice is recorded twice and answered 204 twice, and
// its receiver ignores the second. It keeps no queue: what is answered 204 is in
// the journal.
//
// Who is let in, and how much at a time: with TLS only clients that a configured
// authority vouches for under an allowed name. Connections, header, body, message
// and idle time are bounded, and messages by a token bucket for each peer and one
// for all: what is over it is put off with 503, never refused for good, because it
// may be the DCC's.
//
// What a stranger sends is counted and refused, with a line in the log now and
// then, and leaves no other trace. What
// the DCC has signed and is not believed all the same is recorded as refused.
package inbox
