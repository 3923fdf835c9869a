// Package plan freezes what a sweep will do: which meters, in which order, under
// which direction, and which rows of the portfolio are not covered and why. It
// does no I/O but for the file. The same rows and options make the same bytes, in
// whatever order the rows come.
//
// # Order
//
// Homes go by their most urgent meter; a home is the meters behind one hub. First those
// claimed to be off (where the portfolio has a column supply_state), unless the
// supplier turned them off itself; then by priority; then prepayment before unknown
// before credit. Among homes that are alike in this the CSP regions take turns, and
// within a region homes go by the credit they are claimed to have left (where a
// column balance is carried), then by the hub's EUI. In a home electricity goes
// before gas. All of it is claims: a sweep may move up what its reads and alerts
// show to be worse.
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
// against its anomaly detection threshold, and how many homes are not switched by a
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
// Its signature is the preparer's (signedText); without one, and without
// the journal and the custody that the header names, a plan can only be rehearsed.
//
// There is one encoding of a plan: [Plan.Write] writes what [Read] accepts to the same
// bytes. Read refuses everything else, and checks every rule that [Build] keeps.
//
// A plan holds no secrets, but it lists meters: files are 0600.
package plan
