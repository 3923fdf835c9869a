// Package inbox is where the DCC delivers asynchronous responses and alerts: one
// HTTP handler that makes a message durable as it came, and then answers 204. It
// stores messages; package prover judges them later.
//
//	POST /smartdcc/duis   application/xml, one DUIS Response
//
//	204  durable: the DCC may forget it
//	400  it is not XML, or a stranger sent it: final, the DCC does not send it again
//	404  another path than the inbox's
//	405, 413, 415   not a POST; too large; from a stranger and not XML, or a
//	     Content-Encoding other than gzip: final as well
//	503  it could not be written now, or there is no room: the DCC sends it again
//
// Assumption: the DCC takes 204 as received, sends again after a 5xx or a time-out,
// and does not after a 4xx. No answer says why, so that a stranger learns nothing.
//
// A peer is a stranger unless the options say that its request is authenticated: over mutual
// TLS under an allowed name, or on the loopback address of a simulation. A stranger's message
// is stored all the same if the DCC has signed it under a configured certificate. Every message
// of an authenticated peer is stored if it is XML. So no message is lost because keys are old,
// or because a certificate or a kind of message is new.
//
// The record says what the message claims to be. The inbox does not rely on that claim. It
// does not match answers to requests and does not detect duplicates: a message that is
// delivered twice is recorded and answered twice, and the second is ignored when it is judged.
// It keeps no queue: a message that was answered with 204 is in the journal.
//
// With TLS a client may connect only if a configured authority has issued its certificate
// under an allowed name. Header, body, message and idle time are bounded. A token bucket for
// each peer and one for all of them limit the messages. A message over a limit is answered
// with 503 and never refused for good, because it may be the DCC's.
//
// Package listen bounds the connections, those of strangers apart from those of authenticated
// peers. A stranger's connection is closed with the answer.
//
// All other messages of strangers are refused and counted. A sample of them is logged, and
// none is stored.
package inbox
