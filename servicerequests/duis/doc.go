// Package duis owns the XML of the DCC User Interface Specification, schema
// version 5.4: Service Requests and Signed Pre-Commands to the DCC, responses
// and alerts from it. One canonical encoder, one strict decoder, both
// directions of both, because engine and simulator talk through it.
//
// It knows nothing of signatures: a Signature is put in and taken out by
// package xmldsig. Except for [Inspect], the decoders refuse a document that
// still carries one, so that what is read is what was proven.
//
// # Requests
//
//	Request schemaVersion="5.4"
//	  Header
//	    RequestID                 originator:target:counter
//	    FirstInSequence?          decoded only
//	    PrecedingServiceRequestID? decoded only
//	    CommandVariant            1 read, 4 transform, 5 Signed Pre-Command, 8 the DCC itself
//	    ServiceReference          like 6.2
//	    ServiceReferenceVariant   like 6.2.9
//	  Body
//	    one of the catalogue's elements, or SignedPreCommand
//
// [Request] can express the permitted set and nothing else: its service is a
// [servicerequests.Service], and there is no field for an execution time. The
// decoder knows the whole catalogue, because the DCC's side and the walls that
// refuse must recognise what is forbidden.
//
// # Responses
//
//	Response schemaVersion="5.4"
//	  Header
//	    RequestID?  ResponseID?  ResponseCode  ResponseDateTime
//	  Body
//	    ResponseMessage: ServiceReference ServiceReferenceVariant and at most one of
//	      PreCommand                     GBCSVersion GBCSPayload
//	      GBCSPayload                    the device's answer
//	      DSPInventory                   1 to 17 Device
//	      FutureDatedDeviceAlertMessage  8F66 or 8F67
//	      (nothing)                      acknowledgement or error
//	    or DeviceAlertMessage: AlertCode throttling? GBCSPayload
//	    or DCCAlertMessage: DCCAlertCode throttling? DCCAlert
//
// Anything else that the schema allows there is recognised by name ([Other],
// [OtherEvent]) and not looked into: it answers requests of the User that are
// not this module's.
//
// # SMETS1
//
// Messages of SMETS1 Service Providers (S1SP) are read apart, by [ReadSMETS1], so that one
// which cannot be read is a response or alert of the DCC all the same:
//
//	SMETS1ResponseMessage
//	  ServiceReference? ServiceReferenceVariant? DSPScheduleID? throttling?
//	  SMETS1SignedResponse schemaVersion
//	    SMETS1Response
//	      Header             device, target, counter, ... (in the MMC's namespace)
//	      Body: ResponseMessage     GBCSData* SMETSData/<Name>Rsp DebugInfo?
//	         or DeviceAlertMessage  GBCSData* DeviceAlertContent
//	    Signature            the provider's
//	DCCAlert/S1SPAlertDSP
//	  S1SPAlert schemaVersion  RequestID? DeviceID? S1SPAlertCode ... DateTime Signature
//	  DSPScheduleID?
//
// The schema has every value of an answer optional. Here an answer that does not say whether
// it succeeded, or succeeded without what was asked for, is an error. The values themselves
// are checked and not kept: nothing uses them.
//
// Not known from any public text, so that nothing here rests on it: which services a SMETS1
// meter takes, with which Command Variant and under which key; the providers' alert codes;
// the unit of a balance; what ResponseCode says; which DCC Alert carries S1SPAlertDSP; the
// roles of the providers' certificates, and over which bytes exactly they sign (see package
// xmldsig). No sample that a provider has signed is public. So SMETS1 meters are never sent
// anything: what 7.3 does on a wrong model is the risk that this program exists to avoid.
//
// # Form
//
// The encoder emits Canonical XML: no XML declaration, no white space between
// elements, no empty-element tags, the prefix sr declared on the root and no
// other. The decoder takes any prefix and white space between elements; order,
// number, names, namespaces and the form of every value must be the schema's,
// and no element may have an attribute beyond the root's schemaVersion (5.0 to
// 5.9). Times are RFC 3339 with a zone; the encoder writes UTC with
// milliseconds. Base64 has no white space in requests; in responses it may have
// some, as the schema says, because DCC's Java software folds lines elsewhere.
package duis
