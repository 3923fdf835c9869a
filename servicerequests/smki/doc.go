// Package smki owns certificates as the Smart Metering Key Infrastructure
// writes them: reading, judging, chaining and (for test hierarchies) issuing
// them, and the layout of a PKI folder. It does no I/O of its own and reads no
// clock: folders come as an [io/fs.FS], instants as arguments.
//
// Private keys appear only as [crypto.Signer] or [*crypto/ecdh.PrivateKey], so
// that a key that signs can live in an HSM, and a key that agrees cannot sign. A
// signing key of a folder does not show itself to whatever formats or marshals it.
// The bytes of key files are overwritten with zeros once they are read. What Go
// does not allow is to do the same with the parsed keys: [crypto/ecdsa] and
// [crypto/ecdh] keep copies that nobody can reach, the garbage collector may have
// moved others, and the system may have paged either out. Whoever can read the
// process's memory, its core dumps or its swap has the keys: keep those away from
// others, or the keys in an HSM.
//
// # Why not crypto/x509
//
// crypto/x509 (Go 1.26) refuses every SMKI organisation certificate: the EUI
// stands in the subject as an x500UniqueIdentifier of type BIT STRING. The
// outer structure is therefore taken apart with encoding/asn1, and only the
// subjectPublicKeyInfo goes to crypto/x509.
//
// # What is accepted
//
// X.509 v3 in DER, P-256 keys, ecdsa-with-SHA256, one attribute per RDN, a
// critical keyUsage with one purpose, no repeated extension and no unknown
// critical one. Three shapes (measured on DCC's public ZAZ1 test set, except
// the third, of which no example is published):
//
//	organisation  subject [CN] OU uniqueIdentifier
//	              OU = role as two hexadecimal digits
//	              uniqueIdentifier = BIT STRING of 64 bits = EUI-64 (03 09 00 + 8 octets)
//	              keyUsage digitalSignature or keyAgreement
//	device        empty subject
//	              critical subjectAltName with one otherName HardwareModuleName:
//	              hwSerialNum = EUI-64 (04 08 + 8 octets); hwType is written as
//	              1.2.826.0.1.8641679.1.2.2.1, any is read
//	              keyUsage digitalSignature or keyAgreement
//	authority     subject [OU] CN; keyUsage keyCertSign (cRLSign allowed);
//	              critical basicConstraints with cA TRUE (assumption: RFC 5280)
//
// Key identifiers are 8 octets: the bits 0100 and then the low 60 bits of the
// SHA-1 of the public key (RFC 5280 4.2.1.2, method 2).
//
// # What is refused
//
// Everything else, with an error that wraps one of the package's sentinels.
// Validity in time is never checked unless the caller asks with
// [Certificate.CheckValidAt]: the published test certificates have run out.
package smki
