// Package smkiservice is the certificate service beside the simulated DCC, as
// the client library of DCC Boxed calls it. It hands out public certificates
// and nothing else; it holds no key, and any apikey is taken (assumption).
//
// # Search
//
//	POST /services/certificatesearch?apikey=...    application/xml
//	<CertificateSearchRequest>
//	  <CertificateSubjectName>90-B3-D5-1F-30-01-00-00</CertificateSubjectName>    an organisation's EUI
//	  <CertificateSubjectAltName>00-DB-12-34-56-78-90-A0</CertificateSubjectAltName>  or a device's
//	</CertificateSearchRequest>
//
//	<CertificateSearchResponse>
//	  <ResponseCode>0</ResponseCode>            the values of these three: assumptions
//	  <ResponseMessage>Success</ResponseMessage>
//	  <AuditReference>1</AuditReference>
//	  <Result>                                  one or more
//	    <CertificateSerial>...</CertificateSerial>   32 hexadecimal digits in upper case
//	    <CertificateStatus>I</CertificateStatus>     in use; R: revoked (assumption)
//	    <CertificateUsage>DS</CertificateUsage>      or KA; CS for an authority (assumption)
//	    <CertificateRole>2</CertificateRole>         decimal, absent for devices
//	    <CertificateSubjectAltName>...</CertificateSubjectAltName>  or CertificateSubjectName
//	    <ManufacturingFlag>false</ManufacturingFlag>
//	  </Result>
//	</CertificateSearchResponse>
//
// Exactly one of the two names is given. CertificateSubjectName may also be
// the common name of an authority, so that a client can fetch what the device
// certificates chain to (our addition).
//
// # Retrieval
//
//	POST /services/retrievecertificate?apikey=...
//	<CertificateDataRequest><CertificateSerial>...</CertificateSerial></CertificateDataRequest>
//
//	<CertificateDataResponse>
//	  <ResponseCode>, <ResponseMessage>, <AuditReference>
//	  <CertificateResponse>
//	    <CertificateBody>base64 of the DER</CertificateBody>
//	    <CertificateSubjectName>...</CertificateSubjectName>  or CertificateSubjectAltName
//	  </CertificateResponse>
//	</CertificateDataResponse>
//
// The serial must be as the search gives it, with leading zeros: a client that reads a number
// out of it and writes that finds nothing. Hexadecimal in lower case without leading zeros
// is taken too, for the client library asks that way for a serial it has from elsewhere.
// [Options] can have the serials of some devices in decimal. A device certificate is found
// by its serial once a search has named it: the
// service makes certificates when they are asked for and keeps no list of a
// million of them.
//
// # Status
//
// 200 found, 402 none found, 401 the request cannot be read; 500 with no body
// when a certificate cannot be made.
package smkiservice
