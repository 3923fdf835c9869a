// Package signing is the signer as a process of its own: it has the failed supplier's
// private keys, refuses what the plan does not allow, and remembers what it signed. Its
// client takes the place of the keys in the engine.
//
// The signer does not trust the engine. It builds every message that it signs, or compares
// the message byte for byte with one that it builds, by the gate of package signer. Package
// authority decides whether anything may be signed, from the signer's own copies of plan,
// roster and approvals. The signer's own log says what was signed before.
//
// # The interface
//
// JSON over HTTP, on a unix socket (the kernel says which user the peer is) or over mutual
// TLS. The path has the version; a client of another version gets an error that says so.
//
//	GET  /v1/about    versions, identities, the plan's hash, what is in the log
//	POST /v1/open     Evidence: may this start act; the answer says until when
//	POST /v1/request  question: a Service Request; answers signed DUIS
//	POST /v1/command  question with the Pre-Command: answers the Signed Pre-Command
//	POST /v1/agree    derivation: the AES key of one Response or Alert of a device
//
// A request has fields and the answer has a signed document. Nobody can have a digest signed.
//
//	403  refused: this message is never signed
//	423  nothing is signed until a start is granted again: frozen, not open, out of time
//	429  a rate limit is reached; Retry-After says for how long
//	503  the keys cannot be used just now: try again
//
// # What it enforces, whatever the engine says
//
//  1. Only services of the permitted set, within direction, fuels, window and clauses.
//  2. Only meters of the plan, each for its planned originator, and never one that the plan
//     suppresses; reads may go to a gas meter's proxy, of which a meter has two at most.
//  3. No more meters than the direction names, over the log's whole life.
//  4. One message for an originator counter: the request, and the one Pre-Command made of it.
//     The same question again gives the same message.
//  5. No Pre-Command with a counter that is not above all those signed for that meter, and
//     none unless its request was signed here before.
//  6. At most so many Pre-Commands of a service for a meter, and so many signatures an hour.
//  7. No counter far ahead: the meter would refuse every later command.
//  8. MAC keys of Responses and Alerts only. Those of Commands are the broker's.
//
// A freeze, or the removal of its plan, stops the signer at the next question. After a freeze
// only later approvals count.
//
// # The log
//
// The signer's log is a journal. A record is durable before a key is used, so everything
// that was signed is in it, whatever crashes; a few records may have no signature. Requests
// are "request", Pre-Commands "signed_command", each with the SHA-256 of the bytes to be
// signed; refusals are "refused", grants "opened"; a start of the signer is an "operator"
// record of code "restarted". A start reads all of it. A log is refused, until two people
// accept it, if its file was copied or restored, or if it lacks a signature that the engine's
// journal has.
package signing
