// Package xmldsig signs and verifies DUIS documents: bytes in, proven bytes out.
//
// It owns the one enveloped XML signature that DUIS knows and nothing beside
// it. Which key may sign which message is not decided here: the caller's [Keys]
// holds the pinned keys, and the caller checks the signer's role.
//
// # The profile
//
// ds stands for http://www.w3.org/2000/09/xmldsig#. The signature is the last
// element of the root, and the only one in the document but for those of SMETS1 Service
// Providers in what the DCC hands on for them, which [VerifyHandedOn] looks into:
//
//	ds:Signature
//	  ds:SignedInfo
//	    ds:CanonicalizationMethod  http://www.w3.org/2001/10/xml-exc-c14n#
//	    ds:SignatureMethod         http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256
//	    ds:Reference URI=""
//	      ds:Transforms
//	        ds:Transform           http://www.w3.org/2000/09/xmldsig#enveloped-signature
//	      ds:DigestMethod          http://www.w3.org/2001/04/xmlenc#sha256
//	      ds:DigestValue           base64 of 32 bytes
//	  ds:SignatureValue            base64 of 64 bytes: r, then s, big-endian
//	  ds:KeyInfo
//	    ds:X509Data
//	      ds:X509IssuerSerial
//	        ds:X509IssuerName      RFC 2253 text
//	        ds:X509SerialNumber    decimal
//
// Every element stands once, in this order, with the one attribute shown or
// none (an algorithm stands in the attribute Algorithm). White space between
// elements and within base64 is passed over.
//
// Two canonical forms are at work. The digest is SHA-256 over the inclusive form
// of the document without its Signature, because no transform asks for another,
// and inclusive is XMLDSig's default: unused namespace declarations count. The
// signature is ECDSA on P-256 over SHA-256 of the exclusive form of SignedInfo.
// Two responses signed by DCC's test system verify this way and in no other.
//
// DCC's own tool drops the white space between elements before it digests. So
// the signer takes documents without any, and the verifier tries the document as
// it came and then once more without.
//
// # What the DCC hands on
//
// A SMETS1 Service Provider's message is an element of its own in a document that the DCC
// has signed as a whole. ASSUMPTION: it was signed by the same profile as a document of its
// own, before it was put there; no sample of any is public. Then the digest is over the
// element cut out again, and the declarations of the document around it may or may not have
// stood on it. So the verifier tries it with all that are in scope, and with those alone
// that it uses, each with and without the white space between its elements.
//
// # What it refuses
//
// Algorithms are compared with the profile and never chosen by the message; a
// key is never taken from a message; no URI is ever followed. What was digested
// is what [Verify] returns, and callers read that and not what they passed in.
package xmldsig
