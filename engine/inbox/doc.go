// Package inbox is where the DCC delivers asynchronous responses and alerts: one
// HTTP handler that makes a message durable as it came, and then answers 204. It
// stores first; package prover judges later.
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
// Assumption: the DCC takes 204 as received, sends again after a 5xx or a time-out,
// and does not after a 4xx. No answer says why, so that a stranger learns nothing.
//
// A peer is a stranger unless the options say of its request that it is authenticated:
// over mutual TLS under an allowed name, or on the loopback of a simulation. A stranger's
// message is stored all the same if the DCC has signed it under a configured certificate.
// Everything that an authenticated peer sends is stored if it is XML, so that old keys, a
// new certificate or a new kind of message lose nothing.
//
// The record says what the message claims to be. Nothing of that is believed, and the inbox
// does nothing because of it. It does not match answers to requests and does not detect
// duplicates: a message that is delivered twice is recorded and answered twice, and the
// second is ignored when it is judged. It keeps no queue: what is answered 204 is in the
// journal.
//
// With TLS only clients may connect whose certificate a configured authority has issued
// under an allowed name. Header, body, message and idle time are bounded. A token bucket for
// each peer and one for all limit the messages: what is over them is answered 503 and never
// refused for good, because it may be the DCC's.
//
// Connections are bounded by package listen, those of strangers apart from those of
// authenticated peers. A stranger's connection is closed with the answer.
//
// What a stranger sends is counted and refused. A sample of it is logged, and nothing is
// stored.
package inbox
