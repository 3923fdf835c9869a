// Package servicerequests is the vocabulary that engine and simulator share:
// EUI-64 identifiers, Request IDs, the catalogue of Service Request Variants
// and the permitted set, DUIS response codes, payment modes, supply states,
// money and CSP regions.
//
// It holds values only: no I/O, no clocks, no keys. It imports nothing else of
// this module. The wire formats live below it: duis (XML), xmldsig (XML
// signatures), gbcs (device messages), smki (certificates).
//
// It refuses all other services: there is a [Service] for each member of the
// permitted set and for nothing else. Enable Supply (7.1), Disable Supply (7.2)
// and the switch to Prepayment (1.6) are rows of the catalogue, so that they can
// be recognised and refused by name, but no value of type Service stands for
// them.
package servicerequests
