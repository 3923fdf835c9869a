// Package report tells what a sweep did: a fold over its journal and nothing
// else, so the same journal gives the same report on any day and any machine.
// It owns the summary (summary.json, and summary.txt for people), the list of
// meters (meters.csv) and the list of portfolio rows that were not covered
// (not_covered.csv). It refuses a journal whose chain does not hold, which
// [journal.Journal.Records] notices while it is read.
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
package report
