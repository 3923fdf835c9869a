// Package signer is the signing gate: the only place in the engine where a
// supplier's private keys are used.
//
// It signs three things: a Service Request of the permitted set, a Pre-Command
// that is byte for byte what was asked for, and the Service Request that carries
// the Signed Pre-Command. It counts nothing, stores nothing and sends nothing;
// counters, journal and network are its caller's.
//
// # The ceremony
//
//	Prepare  compares a Pre-Command with the gate's own table of what the service,
//	         the device type and the Request ID may produce, and touches no key
//	Token    what Prepare gives for a Pre-Command that matched; good for one Sign
//	Sign     signs the Pre-Command with the digital-signing key, wraps it under
//	         the same Request ID, and signs the XML with the XML-signing key
//
// After each signature the gate reads its own output again and compares it with
// what it meant to sign; what differs does not leave.
//
// There is no other way to a Signed Pre-Command: SignRequest refuses one, and a
// Token cannot be made outside this package. Enable, Disable, a switch to
// Prepayment and anything dated ahead have no form here that could be signed.
package signer
