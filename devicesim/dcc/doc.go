// Package dcc simulates the Data Communications Company as a User sees it: the three
// services that take Service Requests over HTTP, and what happens to an accepted request
// until its response is on the way to the User's inbox.
//
// # Services
//
//	POST /api/v1/serviceT   Command Variant 4: answers with a Pre-Command
//	POST /api/v1/serviceS   Command Variants 1 and 5: acknowledges, responds later
//	POST /api/v1/serviceD   Command Variant 8: answers at once
//
// Requests are application/xml, at most 1 MiB, and signed by the User whose EUI
// is the originator. A request with a readable Request ID is answered with 200 and a
// DUIS response, one without it with 400 and no body, and one over the User's allocation
// with 503 and Retry-After. Package fault has the allocations, the thresholds of anomaly
// detection, and how long the DCC tries.
//
// # What is refused, in this order
//
//	E48  it is no DUIS request, or its signature does not verify (assumption)
//	E13  its Command Variant does not go with the service
//	E17  it is for local delivery
//	E12  its Command Variant does not go with the Service Request Variant
//	E3   the User's certificates are revoked (assumption; a setting)
//	E1   it was not signed by its originator, or that is a User without any of these roles
//	E2   the User does not have the role for the service or the device
//	E999999  it asks for what is not simulated: a service beyond the catalogue, a sequence,
//	     or a date that the DCC would keep. No DCC has the code
//	E19  no such device; or 8.2 is not addressed to the DCC
//	E11  the device type does not know the service
//	E4   the meter is registered to another supplier
//	E5   the device is Suspended
//	E49  another request has used the Request ID (assumption)
//	E100 a Signed Pre-Command that is not what Transform gave (assumption)
//
// The first request under a Request ID counts; the same bytes again get the
// same acknowledgement and have no effect. A Transform and its Signed
// Pre-Command share the Request ID. The memory for this is bounded.
//
// A request over a threshold of anomaly detection is acknowledged and quarantined: a
// DCC Alert AD1 names it, and it waits until the User has it released or deleted.
//
// # Signatures
//
// Responses with a Pre-Command are signed by the Transform key, all others that
// carry data, and all that go to the inbox, by the XML signing key.
// Acknowledgements and errors in the HTTP answer are not signed.
//
// # Time
//
// The DCC's own clock gives its times (in responses, alerts, the issuer event id of a gas
// Pre-Command), and a rule may make it wrong. The time of a device's answer is when the
// answer goes to the inbox, or when the device gave it (a rule; assumption). If a
// sleeping meter has not fetched a message within the hub's window, the message is dropped,
// and E21 comes when the meter wakes next.
//
// # Lies
//
// If a profile says so, the DCC lies (package fault has the list), in two places: in the
// answer over the connection, which replaces the honest one, and in messages to the inbox.
// It still acts honestly, with one exception: it accepts the signed form of a
// Pre-Command that was not asked for, and carries it out.
//
// # What it refuses to do
//
// It refuses nothing but what is listed above: a real DCC transforms Enable, Disable and the
// switch to Prepayment for every User that may ask, and so does this one. It holds no
// supplier's private key and signs no command.
package dcc
