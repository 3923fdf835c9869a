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
//	gpf_id            optional: EUI-64 of a GSME's gas proxy: it is asked without looking it up
//	                  in the DCC's inventory (8.2), but before an arming that rests on it;
//	                  what it says is not told as evidence until the inventory confirms it
//	balance_estimate  optional: credit in pounds as the provider's records have it
//	balance_at        optional: when that was so, an instant with its zone
//	last_top_up       optional: when the meter was last topped up, likewise
//	supply_state      optional: last known: disabled, enabled, armed or unknown
//
// No value of a column that is kept has more than 4096 bytes.
// White space around a value does not count, nor does the case of the words above. A row
// whose fields are all empty claims no meter: it is skipped and counted. A SMETS1 meter
// (what may be sent to one is in no public source) is refused as a kind of its own, with
// what its row says, so that it can be counted and handed over. A file that is no such CSV
// is named for what it is (package table). All other columns are personal
// data until somebody says otherwise: they are dropped, and reported once,
// unless Options name them.
//
// A row that breaks a rule is refused by itself, with its line, and reading goes
// on; so is every row of a device after the first good one. A file whose header
// or whose CSV is broken ends the reading with an error: what came before it
// must not be taken for the whole.
//
// Rows are streamed. What stays in memory is the identifier and the line of each
// device that was accepted.
package portfolio
