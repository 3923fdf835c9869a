// Package report tells what a sweep did. It reads the sweep's journal and nothing
// else, so the same journal gives the same report on any day and any machine. It
// refuses a journal with a broken chain; [journal.Journal.Records] checks the chain
// while it reads.
//
// # Files
//
//	summary.json, .txt, .html    the sweep in numbers
//	meters.csv                   a line for each planned meter
//	calls.csv                    a line for each home that needs a person, for the call centre
//	call_list.csv, .xlsx         a line for each meter to call about, to be filled in
//	not_covered.csv              the rows of the portfolio that were rejected, and why
//	smets1.csv                   those of them that are SMETS1 meters
//	transfers.csv                meters of homes that have left or will leave, when, in which state
//	orders.csv                   who ordered what, and when waves changed and tripwires tripped
//	weekly.json, .csv, .html     aggregates only: the numbers now and a week before
//	reconciliation.csv, .html    compared with an inventory and a list of transfers, if given
//	handover/devices.csv         all that the next supplier needs of each meter
//	handover/calls.csv           as above
//	handover/armed.csv           meters that are armed, in the columns of devices.csv
//	handover/unreachable.csv     meters of which nothing is known, likewise
//	handover/not_covered.csv     as above
//	handover/smets1.csv          as above
//	handover/counters.json       last originator counters; settings that have no column
//	handover/handover.html       the pack in numbers
//	handover/SHA256SUMS          digests of the files of the pack
//	handover/SHA256SUMS.sig      ECDSA with SHA-256 over SHA256SUMS, in ASN.1, if it was signed
//	handover/signer.pub.pem      the key that checks it
//
// The pages hold all they need and print on paper. Where a report counts, it says
// of how many. Each page, the summary and each JSON say in which environment the sweep was
// made; a page of a drill is marked so on every sheet. No file holds personal data beyond device identifiers, MPxNs and
// regions; [Report.Redact] takes those away too.
//
// # Nobody vanishes
//
// Every planned meter has exactly one verdict: the last one in the journal, or
// unknown if there is none. Every request that was sent has exactly one class:
// that of its last outcome or, where the journal holds none, no_response if
// the DCC had acknowledged it and in_doubt if not. A critical request whose
// Pre-Command was never signed sent nothing to a meter; it is not counted.
//
// # meters.csv
//
// One line a planned meter, in the order of the plan:
//
//	device_id, device_type, mpxn, csp_region,
//	verdict, as_of, reason,
//	found_mode, found_supply, found_balance, end_mode, end_supply, end_balance,
//	SRV_outcome, SRV_code      for each SRV of the permitted set, in the order
//	                           of servicerequests.Services: the last request of
//	                           that SRV; empty if none was sent
//	attempts, first_sent_at, last_response_at, request_ids
//
// Times are RFC 3339 in UTC with milliseconds, by the sweep's clock. Balances
// are pounds with five decimals, and empty if not read. request_ids are
// separated by spaces, in the order of sending.
//
// # transfers.csv
//
// One line for each planned meter whose home leaves the supplier, by the list of transfers,
// by a DCC Alert or by the DCC's refusal (E4). transfer_date and incoming_mpid are the
// list's: the one that the report was given, or else the one that the sweep had.
// left_alone_at is when the sweep began to send nothing to it, told_at when the DCC's alert
// came, refused_at when its first E4 came, refusal_expected whether list or alert had said
// so by then. The state in which it left is verdict to end_balance, as it was at as_of; the
// columns are those of meters.csv.
//
// # calls.csv
//
// One line a home (all its planned meters behind one hub) with a supply that is off. Of
// kind armed: a supply is Armed, and the consumer must press the button. Of kind
// dark_not_armed: a supply is off and not armed, and somebody must act otherwise; what is
// armed beside it still has its button. Meters that are excluded need nobody of ours.
//
//	priority, kind, chf_id, csp_region, mpxns, device_ids, hours_off, hours_off_are,
//	then for electricity and for gas, each with its fuel before it:
//	verdict, supply, as_of, age_hours, off_since, hours_off, hours_off_are,
//	model, button, priority, reason
//
// and last environment: nobody may be called by the list of a drill (simulator).
//
// priority is the portfolio's, 0 first; that of a home is its most urgent meter's. Homes
// go by it, then by hours_off, longest first. supply is what was last read, or what the
// meter told of by an alert, as_of then, age_hours before the journal's last record.
// hours_off counts to that record, from when the supply is known to be off, if nobody has
// turned it on since as_of. It is since_alert where the meter told of the moment, and else
// at_least: it was first seen off then. model is the portfolio's, if the plan carries it.
// button is what the consumer does, by the model, or else what is usual (ASSUMPTION:
// makers differ). mpxns and device_ids are separated by spaces, electricity first; where
// a home has two meters of a fuel the columns are those of the one that needs a person
// more. Text of others that a spreadsheet would take for a formula has ' before it.
//
// # call_list.csv, call_list.xlsx
//
// One line for each meter that is armed or not safe, or known to be off: those that the call
// centre is done with last, then by hours_off, longest first, then by priority.
//
//	mpxn, fuel, csp_region, verdict, hours_off, hours_off_are, say, model, priority, reason,
//	attempts, last_outcome, last_at, last_person, done,
//	outcome, person, at, note, environment
//
// say is the button of the model, or that none is to be pressed and what is done instead.
// attempts to done are the call centre's own record, which lies beside the journal (see
// engine/callbook): they are of the home's MPxN. outcome to note are blank: they are filled in, and the
// list comes back (safemode calls import). In the workbook every cell is text.
//
// # devices.csv
//
// Each meter as it was found, what was done with it, how it stands, and all that
// prepayment needs to be set up again. switched_at is when the meter answered its
// first successful 1.6, switched_by its Request ID. balance_before was asked for
// before the first 1.6 was signed, balance_after after it; credit_mode_due is a gas
// meter's other balance, positive for money due. emergency_credit is activated,
// refused, unknown or not_asked. The settings are those of 4.13 and, for a gas
// meter's suspended debt, of 6.2.9, read before the switch; empty where they were
// not read.
package report
