// Package direction is the authority to act: what the Authority directed this
// Shared Resource Provider to do for one failed supplier, who recorded it, who
// approved what is made of it, and whether it still stands.
//
// It answers one question: may this be done now. It can only narrow the permitted
// set of servicerequests, never widen it: a direction that names Enable Supply,
// Disable Supply or any other service outside the set is refused as a whole.
//
// # The files that people write
//
// The direction (config/direction.example.yaml is its manual), the roster of people
// (below), the statement that the supplier's everyday adapter is frozen
// (config/freeze.example.yaml) and the record of the market participant IDs
// (config/mpids.example.yaml) are strict YAML. The first three are signed: beside FILE lies FILE.sig, an ECDSA
// signature on P-256 over the SHA-256 of the file as it is, as ASN.1 DER, which is
// what
//
//	openssl dgst -sha256 -sign KEY.key -out FILE.sig FILE
//
// makes and openssl dgst -sha256 -verify checks. A direction and a
// freeze statement are signed by a recorder on the roster, the roster by the holder of the certificate that the configuration
// pins. Nobody gets onto the roster by a direction, a plan or an approval.
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
// ending in LF, a field without a value leaving its space:
//
//	safemode approval 2
//	plan <the plan's hash, 64 hexadecimal digits>
//	header <the SHA-256 of the plan's header in JSON, as a journal holds it>
//	sweep <the first 12 digits of the plan's hash>
//	environment <simulator or live>
//	journal <ID of the one journal that it is for>
//	custody <ID of the one folder of counters that it is for>
//	purpose <start, resume or accept>
//	subject <of a resume: the sequence number of the journal's record of the stop; of an
//	        acceptance: what is accepted>
//	resumes <how many stops that were no halts it gives ahead>
//	issued <RFC 3339, UTC, whole seconds>
//	expires <the same>
//	approver <name on the roster>
//	key <SHA-256 of the SubjectPublicKeyInfo, hexadecimal>
//
// Two approvals serve an occasion if both name it exactly, have not expired, are valid for
// no longer than the plan says ([LongestValid] where it says nothing), and are
// by two people on the roster, different by name and by key, both approvers, neither
// of whom prepared the plan or recorded its direction, each with a certificate that stands
// ([Trust]). Expiry is real time; it bounds when a sweep may begin or
// go on, not how long it runs. What an occasion is, and that it comes once, is for
// engine/authority. Approvals of version 1 bound no journal and no custody: they serve
// nothing any more.
//
// # Gates
//
// Four gates, each with evidence and an end of its own: the direction's window, the
// revocation lists (and, if asked for, the certificates' time), the operator's record of
// the MPIDs, and the statement that the everyday adapter is frozen for these identities.
// A gate whose evidence was never read is closed; one whose
// evidence cannot be renewed closes when it is older than it may be.
//
// Each list and each file is watched by itself, and a look at it takes half a minute at
// most: one that hangs delays no other (TestGatesCloseThoughAListHangs).
package direction
