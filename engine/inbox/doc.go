// Package inbox is where the DCC delivers asynchronous responses and alerts: one
// HTTP handler that makes a message durable as it came, and only then says so. It
// stores first; judging comes later and is not its work (package prover).
//
//	POST /smartdcc/duis   application/xml, one DUIS Response
//
//	204  durable: the DCC may forget it
//	400  it is no XML, or a stranger's: final, the DCC does not send again
//	404  another path than the inbox's
//	405, 413, 415   not a POST, too large, a stranger's that is not XML or a
//	     Content-Encoding other than gzip: final as well
//	503  it could not be written now, or there is no room: the DCC sends again
//
// That the DCC takes 204 as received, sends again after a 5xx or a time-out and
// not after a 4xx is an assumption. No answer tells why: whoever knocks learns nothing.
//
// A peer is a stranger unless the options say of its request that it is authenticated:
// over mutual TLS under an allowed name, or on the loopback of a simulation. A stranger's
// message is taken all the same if the DCC has signed it under a certificate that is
// configured. What an authenticated peer sends is kept whatever it is, as long as it is
// XML: own stale keys, a new certificate or a new kind of message cost nothing.
//
// The record says what the message claims to be. Nothing of that is believed, and nothing
// is acted on here. The inbox does not match answers to requests and does not know
// duplicates: a message that is delivered twice is recorded twice and answered 204 twice,
// and whoever judges it ignores the second. It keeps no queue: what is answered 204 is in
// the journal.
//
// Who is let in, and how much at a time: with TLS only clients that a configured
// authority vouches for under an allowed name. Header, body, message
// and idle time are bounded, and messages by a token bucket for each peer and one
// for all: what is over it is put off with 503, never refused for good, because it
// may be the DCC's.
//
// Connections are bounded by package listen, those of strangers apart from those of
// authenticated peers. A stranger's connection is closed with the answer.
//
// What a stranger sends is counted and refused, with a line in the log now and
// then, and leaves no other trace.
package inbox
