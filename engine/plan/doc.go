// Package plan freezes what a sweep is to do: which meters, in which order, under
// which direction, and which rows of the portfolio are not covered and why. It
// is pure: the same rows and options make the same bytes, whatever the order of
// the rows.
//
// # Order
//
// Homes go by their most urgent meter; a home is what hangs on one hub. Among
// homes of one priority the CSP regions take turns, and within a region homes
// go by the hub's EUI. In a home electricity goes before gas.
//
// # The file
//
// plan.ndjson holds one JSON object a line, each line ending in LF:
//
//	{"kind":"header","version":1,...}                 once, first
//	{"kind":"target","order":1,...}                   in order, counted from 1
//	{"kind":"rejected","line":7,"device_id":...}      in the portfolio's order
//	{"kind":"end","sha256":"..."}                     once, last
//
// The plan's hash is the SHA-256 over every byte above the end line, in lower
// case hexadecimal: head -n -1 plan.ndjson | sha256sum. Approvals and the
// journal name the plan by it. The end line makes a file that was cut or altered
// tell on itself; what proves who froze it are the approvals.
//
// There is one encoding of a plan: what [Read] accepts, [Plan.Write] writes
// again to the byte. Read refuses everything else, and holds a plan to every
// rule that [Build] keeps.
//
// A plan holds no secrets, but it lists meters: files are 0600.
package plan
