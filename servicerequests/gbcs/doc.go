// Package gbcs owns the messages that meters read: the GBCS codec, the table of
// use cases, the templates of the permitted Pre-Commands, the digital signature
// and the MAC. GBCS means GB Companion Specification.
//
// It refuses to build or to sign anything outside the permitted set. Enable
// (ECS42), Disable (ECS43, GCS32) and the switch to prepayment (ECS03, GCS03)
// are decoded, so that they can be refused by name, and have no encoder here.
// It does no I/O, reads no clock and holds no keys.
//
// # Grouping Header
//
// DLMS general-signing. Numbers are big-endian, offsets in bytes.
//
//	 0  1   DF
//	 1  1   09         length of the next two
//	 2  1   01 02 03   CRA flag: Command, Response, Alert
//	 3  8   originator counter, 1 to 2^63-1; a Response repeats its Command's
//	11  9   08, Business Originator ID (EUI-64)
//	20  9   08, Business Target ID (EUI-64)
//	29  1   00 or 0C, then the date-time of so many bytes
//	    3   02, message code (2); 0A, 12 or 1A: and so many supplementary bytes after it
//	    n   length of the payload (1, 2 or 3 bytes, shortest form), payload
//	    n   signature field: absent, 00, or 40 and r, s of 32 bytes each
//
// Lengths: one byte below 80; 81 nn to FF; 82 nn nn to FFFF. Other lengths of
// other-information than 02 exist in GBCS, but in no use case that is decoded here.
//
// In a message of another use case header, MAC Header, signature and MAC are read in the same way,
// and the payload is carried as bytes. Its counter may be any of 64 bits: top-ups count
// above 2^63. What may protect which of them is not known here.
//
// # MAC Header
//
// DLMS general-ciphering around a whole Grouping Header message:
//
//	DD 000000000000, length of the rest, 11 00000000, DF..., MAC (12)
//
// # What carries what
//
//	Pre-Command             DF, signature absent or 00
//	Signed Pre-Command      DF, 40 + 64 by the supplier
//	Command, critical       DD, 40 + 64 by the supplier, MAC by the ACB
//	Command, non-critical   DD, 00, MAC by the ACB
//	Response, Alert         critical: DF, 40 + 64 by the device
//	                        else:     DD, 00, MAC between device and recipient
//
// # Signature and MAC
//
// The signature is ECDSA P-256 SHA-256, raw r and s, over everything from
// offset 1 to the last byte of the payload. The MAC is AES-128-GCM with empty
// plaintext, cut to 12 bytes, under a key derived from static ECDH; IV: Business
// Originator ID and 00000000; AAD: 11 00 00 00 00 00 and the inner message. See
// [DeriveKeyFromSecret].
//
// # Payloads
//
// Electricity (ESME) speaks DLMS: access request (D9), access response (DA) and
// data-notification (0F), A-XDR data, big-endian; the invoke id is 20 and the
// low three bytes of the originator counter. Gas (GSME, GPF) speaks GBZ: profile
// 0109, a count of components, then per component control (01 last, 02
// encrypted), cluster (2), length (2), and a ZCL frame whose fields are
// little-endian. The files response_dlms.go, response_gbz.go, configuration*.go, prepay.go
// and alert.go hold layouts, each of which is both read and written (layout.go). Commands are
// apart: what is read is in command.go, and the few that are written in request.go.
//
// Sources: the DCC's Reference Test Data Set 4.5.0 (vectors in the tests) for
// every layout unless a comment says "assumption".
package gbcs
