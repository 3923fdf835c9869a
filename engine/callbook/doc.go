// Package callbook keeps the record of a call centre: who called which home of a sweep when,
// and with which outcome. The record lies beside the journal. It is for lists, pages and
// reports only. The linter keeps the rooms that decide and send from importing it.
//
// # The record
//
// A file of lines in the order in which the calls were imported. Each line is one call, as a
// JSON object. The file is replaced as a whole, durably, under a lock. prev is the SHA-256 of
// the line before, without its line end, in lower-case hexadecimal; in the first line it is
// the SHA-256 of no bytes. So reading the file finds a line that was changed, removed or moved.
//
//	{"seq":1,"prev":"e3b0...","sweep_id":"146ddd8158c5","mpxn":"1200012345678",
//	 "outcome":"pressed","person":"Ada Byron","at":"2026-11-30T03:10:00Z","note":"",
//	 "taken_in_by":"olga","taken_in_at":"2026-11-30T04:00:00Z"}
//
// # What comes in
//
// A CSV with the columns mpxn, outcome, person, at and note. The call list has them. Other
// columns are ignored. A row without an outcome is a home that nobody called. at has a zone,
// like 2026-11-30T03:10:00Z, and is not in the future. A row that was imported before is
// skipped, so the same list may be imported again when it has grown.
//
// Outcomes after which the home is called again: no_answer, message, call_back, wrong_number.
// Outcomes that end the calls: pressed (the consumer pressed the button), visit (somebody is
// sent), moved (nobody lives there), other (done; the note says how).
package callbook
