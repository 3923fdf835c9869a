// Package portfolio reads the list of meters that a failed supplier left: a CSV
// file of claims, none of which is believed before a meter confirms it.
//
// The format: RFC 4180, UTF-8 with or without a byte order mark, lines ending
// in LF or CRLF, a header line with these columns in any order:
//
//	device_id    EUI-64 of the meter
//	device_type  ESME, GSME or SMETS1
//	chf_id       EUI-64 of its communications hub
//	mpxn         ESME: MPAN, 13 digits with a right check digit; GSME: MPRN, 6 to 10 digits
//	csp_region   North, Central, South, 4G North, 4G Central or 4G South; a SMETS1
//	             meter's may be SMETS1 or empty
//	claimed_mode prepayment, credit or unknown
//	priority     0 (first) to 9
//	source       where the claim comes from; may be empty
//	originator   optional: EUI-64 of the failed supplier's identity
//	history      optional: what the provider's own records say, in pieces
//	             divided by semicolons or commas
//	gpf_id            optional: EUI-64 of a GSME's gas proxy, so that the DCC's inventory (8.2)
//	                  need not be asked first. The inventory is asked before an arming that
//	                  rests on it; until then what the proxy says is no evidence
//	balance_estimate  optional: credit in pounds as the provider's records have it
//	balance_at        optional: when that was so, an instant with its zone
//	last_top_up       optional: when the meter was last topped up, likewise
//	supply_state      optional: last known: disabled, enabled, armed or unknown
//
// No value of a column that is kept has more than 4096 bytes.
// White space around a value and the case of the words above do not matter. A row whose
// fields are all empty claims no meter: it is skipped and counted. A SMETS1 meter is rejected
// as a kind of its own, with what its row says, so that it can be counted and handed over: no
// public source says what may be sent to one. If a file is no such CSV, the error says what
// it is (package table). All other columns count as personal data: they are dropped, and
// reported once, unless Options name them.
//
// A row that breaks a rule is rejected with its line, and reading goes on; so is every row of
// a device after the first good one. A broken header or broken CSV ends the reading with an
// error, because the rows before it are not the whole file.
//
// Rows are streamed. What stays in memory is the identifier and the line of each
// device that was accepted.
package portfolio
