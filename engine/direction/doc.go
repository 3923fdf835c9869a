// Package direction holds the authority to act: what the Authority directed this
// Shared Resource Provider to do for one failed supplier, who recorded it, who
// approved the plan, and whether all of it is still valid.
//
// It answers one question: may this be done now? It can only narrow the permitted
// set of servicerequests. A direction that names Enable Supply, Disable Supply or
// any other service outside the set is refused as a whole.
//
// # The files that people write
//
// The direction (config/direction.example.yaml is its manual), the roster of people
// (below), the statement that the supplier's everyday adapter is frozen
// (config/freeze.example.yaml) and the record of the market participant IDs
// (config/mpids.example.yaml) are strict YAML. The first three are signed: beside FILE lies
// FILE.sig, an ECDSA signature on P-256 over the SHA-256 of the file as it is, as ASN.1 DER.
// This command makes it, and openssl dgst -sha256 -verify checks it:
//
//	openssl dgst -sha256 -sign KEY.key -out FILE.sig FILE
//
// A recorder on the roster signs a direction and a freeze statement. The holder of the
// certificate that the configuration pins signs the roster. No direction, plan or approval can
// add anybody to the roster.
//
// The roster:
//
//	people:
//	  - name: alice
//	    roles: [approver]      # recorder, approver, operator
//	    certificate: |         # SMKI, OU "other", digitalSignature
//	      -----BEGIN CERTIFICATE-----
//
// # Approvals
//
// An approval is a JSON file approval-*.json in the plan's folder: the fields of
// [Terms] and a signature of the kind above over this text, in UTF-8, each line
// ending in LF. A field without a value leaves the space after its name:
//
//	safemode approval 2
//	plan <the plan's hash, 64 hexadecimal digits>
//	header <the SHA-256 of the plan's header in JSON, as a journal holds it>
//	sweep <the first 12 digits of the plan's hash>
//	environment <simulator or live>
//	journal <ID of the one journal that it is for>
//	custody <ID of the one folder of counters that it is for>
//	purpose <start, resume or accept>
//	subject <for a resume: the sequence number of the journal's record of the stop; for an
//	        acceptance: what is accepted>
//	resumes <after how many stops that were no halts the sweep may go on>
//	issued <RFC 3339, UTC, whole seconds>
//	expires <the same>
//	approver <name on the roster>
//	key <SHA-256 of the SubjectPublicKeyInfo, hexadecimal>
//
// Two approvals count for an occasion if both name it exactly, have not expired, and are
// valid for no longer than the plan says ([LongestValid] if it says nothing). They must be by
// two approvers on the roster, different by name and by key. Neither has prepared the plan or
// recorded its direction, and both have a valid certificate ([Trust]). Expiry is real time: it
// bounds when a sweep may begin or go on, not how long it runs. Package authority says what an
// occasion is. Approvals of version 1 named no journal and no custody: they do not count any
// more.
//
// # Gates
//
// Four gates, each with evidence and an end of its own: the direction's window, the
// revocation lists (and, if asked for, the certificates' time), the operator's record of
// the MPIDs, and the statement that the everyday adapter is frozen for these identities.
// A gate is closed until its evidence has been read. It closes again if the evidence could
// not be read for too long.
//
// Each list and each file is read by itself, for half a minute at most, so that one that hangs
// does not delay the others (TestGatesCloseThoughAListHangs).
package direction
