// Package directory finds the public keys of devices. It asks the SMKI service,
// believes only certificates that chain to the configured authorities, and keeps
// the keys.
//
// It caches the keys of all certificates that are in use: while a device's certificate is
// being changed there are two, and either may have signed. Cached keys may be out of date. So
// the service is asked again when a message has failed under all of them, but at most once a
// minute. It does not cache that the service knows no certificate.
//
// It holds no keys of organisations (they are configured, never looked up) and
// no private key. It does not judge messages.
//
// # The SMKI service
//
// As DCC Boxed's client library calls it: two POSTs of XML.
//
//	/services/certificatesearch?apikey=...
//	    CertificateSearchRequest
//	        CertificateSubjectAltName    the device's EUI, with hyphens
//	    CertificateSearchResponse
//	        Result*
//	            CertificateSerial        hexadecimal digits
//	            CertificateStatus        I: in use
//	            CertificateUsage         DS or KA
//
//	/services/retrievecertificate?apikey=...
//	    CertificateDataRequest
//	        CertificateSerial
//	    CertificateDataResponse
//	        CertificateResponse
//	            CertificateBody          base64 of DER
//
// Elements are matched by local name, others are passed over, and their order
// does not count: no schema is published. 402 means that none was found. A serial is a
// token that is handed back as it came, leading zeros and all; decimal ones are tokens
// too. It is never compared with a certificate's own.
//
// The service is not trusted: what it says of a certificate only chooses which
// one to fetch. The certificate itself must be a device's, name the EUI, serve
// the purpose, and be signed by an authority of the configuration.
package directory
