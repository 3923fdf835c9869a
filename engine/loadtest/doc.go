// Package loadtest finds out how much a DCC-like system takes: it sends Service
// Requests at a rate that the system cannot slow down, and measures how long it
// takes to acknowledge and to answer them.
//
// It owns the arrivals, the measuring and the judgement. It sends nothing outside
// the permitted set: requests are made by the signing gate and leave by the gateway,
// as in a sweep, and an answer counts only when it is proven and correlates. It
// keeps no evidence and changes no policy: it is no sweep.
//
// # Open loop
//
// Requests arrive at instants that are fixed before the test begins: k / rate after
// a step's beginning. A system that slows down does not slow the arrivals down, and
// latency is counted from the instant at which a request was to be sent, so that
// what waited because others were slow is not left out (coordinated omission).
//
//	late     sent more than 10 ms after its instant
//	dropped  never sent: every worker was busy and as many requests again were
//	         waiting, or, for a critical command, every meter had one open
//
// # Censoring
//
// The population of every percentile is all requests that were to be sent. One that
// got no acknowledgement (dropped, rejected, throttled, lost) has an acknowledgement
// latency of which only the least is known; likewise one without a proven answer
// of its device. They stand above all others, and a percentile that falls among them
// has no value. A threshold on it fails; so does any threshold without samples.
//
// A refusal by the DCC's response code (E4 of a meter that has left its supplier) is
// both: it ends the request when it comes. Refusals have a count of their own and are
// neither accepted nor answered; where there is nothing else, no latency passes.
package loadtest
