// Package plan freezes what a sweep will do: which meters, in which order, under
// which direction, and which rows of the portfolio are not covered and why. Its only
// I/O is the plan's file. The same rows and options make the same bytes, in
// whatever order the rows come.
//
// # Order
//
// A home is the meters behind one hub. Homes are ordered by their most urgent meter. First
// come those claimed to be off (if the portfolio has a column supply_state), unless the
// supplier turned them off itself. Then the order is by priority; then prepayment before
// unknown before credit. Among homes that are equal in all this the CSP regions take turns,
// and within a region homes are ordered by the credit that they are claimed to have left (if
// there is a column balance), then by the hub's EUI. In a home electricity comes before
// gas. All of it is claims: a sweep may promote homes that its reads and alerts show to be
// worse off.
//
// # Waves
//
// The targets are cut into waves, in order. The first is the canary: urgent homes
// chosen such that both fuels and all regions take turns in it, and that it shows as
// many sources, claims, identities and models (column model) as it can. A plan of
// fewer than two canaries has one wave.
//
// # The estimate
//
// [Plan.Schedule] estimates when each target's requests are sent at the limits, with
// the soaks between waves. From that follow the whole time, the peak of each SRV
// compared with its anomaly detection threshold, and how many homes are not switched by a
// deadline. A schedule that crosses a threshold is refused, unless the limits say
// that the pace is cut to fit, or that it may be crossed. Read estimates it again.
//
// # The file
//
// plan.ndjson holds one JSON object a line, each line ending in LF:
//
//	{"kind":"header","version":3,...}                 once, first
//	{"kind":"target","order":1,...}                   in order, counted from 1
//	{"kind":"rejected","line":7,"device_id":...}      in the portfolio's order
//	{"kind":"end","sha256":"...","signature":"..."}   once, last
//
// The plan's hash is the SHA-256 over every byte above the end line, in lower
// case hexadecimal: head -n -1 plan.ndjson | sha256sum. Approvals and the
// journal name the plan by it. The end line shows whether a file was cut or altered.
// Its signature is the preparer's (signedText). A plan without a signature, or whose header
// names no journal and no custody, can only be rehearsed.
//
// A plan has one encoding: [Plan.Write] writes a plan that [Read] accepted as the same
// bytes. Read refuses everything else, and checks every rule that [Build] keeps.
//
// A plan holds no secrets, but it lists meters: files are 0600.
package plan
