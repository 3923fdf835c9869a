// Package incident writes what others need when something went wrong: a pack for the DCC's
// service desk, and one for whoever looks into keys that may be compromised. It reads a
// journal's records and, for keys, the signer's log.
//
// # The pack for the service desk
//
//   - README.txt: what it is of, what is in it, and what is not
//   - incident.json: which sweep, real or a drill, versions, how it stands, since when, counts
//   - services.csv: region, srv, class, code, requests, first_sent_at, last_sent_at
//   - requests.csv: each request that did not succeed: request_id, srv, region, sent_at,
//     decided_at, class, code, try. Class open is of those without an end
//   - events.csv: starts, orders, halts and ends: at, record, event, detail
//   - log.txt: the program's log, if one is given, without ids
//
// # The pack for keys
//
//   - signatures.csv: each signature of the journal: at, record, kind, srv, request_id,
//     certificate, sha256 of the signed document
//   - certificates.csv: certificate, first_at, last_at, signatures. A certificate is named
//     by its issuer and serial, as the document names it; of GBCS messages, which name none,
//     by its originator
//   - counters.csv: originator, used, first, last
//   - signer.csv, with a signer's log: at, record, what (request or signed_command), srv,
//     request_id, digest, in_journal. A signature that the journal does not have was asked
//     for by somebody else, or for a sweep that was cut off
//   - refusals.csv, with a signer's log: at, record, srv, request_id, code, reason
//
// SHA256SUMS in each names every file. Times are the sweep's clock unless a name says
// otherwise. A Request ID holds the EUI-64 of a device: the DCC needs it, nobody else does.
// Neither pack holds an MPxN, a balance, a message, a name of a person or what people wrote.
package incident
