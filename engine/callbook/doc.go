// Package callbook keeps what a call centre has done about the homes of a sweep: who called
// which home when, and what came of it. The record lies beside the journal. Nothing that sends
// may read it: it is for lists, pages and reports alone, and the linter keeps the rooms that
// decide and send from importing it.
//
// # The record
//
// A file of lines, each one JSON object and one call, in the order in which they were taken in.
// It is replaced as a whole, durably, under a lock. prev is the SHA-256 of the line before it,
// without its line end, in lower-case hexadecimal; of the first line it is that of nothing. So
// a line that was changed, taken out or moved is found when the file is read.
//
//	{"seq":1,"prev":"e3b0...","sweep_id":"146ddd8158c5","mpxn":"1200012345678",
//	 "outcome":"pressed","person":"Ada Byron","at":"2026-11-30T03:10:00Z","note":"",
//	 "taken_in_by":"olga","taken_in_at":"2026-11-30T04:00:00Z"}
//
// # What comes in
//
// A CSV with the columns mpxn, outcome, person, at and note, among others that do not count: the
// call list itself has them. A row without an outcome is a home that nobody called. at has a
// zone, like 2026-11-30T03:10:00Z, and is not in the future. A row that was taken in before is
// passed over, so a list may come in as often as it grows.
//
// Outcomes of a try: no_answer, message, call_back, wrong_number. Outcomes that end it: pressed
// (the consumer pressed the button), visit (somebody is sent), moved (nobody lives there),
// other (settled; the note says how).
package callbook
