// Package fleet owns a population of simulated meters: how it is generated from
// a seed, how one meter of it is found, and the two CSV files that describe it. The
// fleet file is the truth; the portfolio file is what a Shared Resource
// Provider would hold of it, with some claims stale or wrong.
//
// A generated fleet is not kept in memory at all: each meter is grown from the
// seed when it is asked for. A fleet that was read is a list with its indices.
//
// Package meter says what happens to a meter, and package devicepki has the
// keys. This package refuses files that it would not write: an unknown
// column, a malformed field or a second row for a device is an error with line
// and column, never a guess.
//
// # Fleet file
//
// A comment line, a header line and a row per meter (RFC 4180):
//
//	# safemode fleet seed=1 version=2
//	device_id,device_type,chf_id,mpxn,csp_region,payment_mode,supply_state,balance,
//	emergency_credit,debt,locked,registered_supplier,reachable,model
//
// (the header is one line). EUIs are hyphenated; device_type is ESME or GSME;
// mpxn is an MPAN of 13 digits with its check digit for ESME, an MPRN of 6 to
// 10 digits for GSME; balance and debt are pounds with up to five decimals, in
// the range of a signed 32-bit number of millipence; emergency_credit is
// unavailable, available, active or spent; locked and reachable are true or
// false; model is one of the catalogue. The seed is part of the file because
// device keys, and the state that has no column, derive from seed and EUI.
//
// # Identifiers
//
// Generated EUIs are 00-DB-12, one octet for the kind (C0 hub, E0 ESME, 60
// GSME) and four for the home; the two meters and the hub of a home share the
// last four. A gas proxy has the EUI of its gas meter with the
// universal/local bit (02 of the first octet) flipped, so it needs no room in
// memory and no column.
package fleet
