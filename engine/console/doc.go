// Package console is the operations address of a running engine: metrics, health,
// the state of the sweep, and an operator's pause, resume and stop.
//
//	GET  /                      a page for people, which reads the addresses below
//	GET  /metrics               Prometheus
//	GET  /healthz               200 while the process can work, else 503 and why
//	GET  /readyz                200 while the sweep takes new work, else 503 and why
//	GET  /api/v1/sweep          state of the sweep as JSON
//	POST /api/v1/sweep/pause    204 once no new request will be sent
//	POST /api/v1/sweep/resume   204
//	POST /api/v1/sweep/stop     204; the sweep drains and ends
//	                            409 if the sweep cannot do it any more
//
// It decides nothing and starts nothing: it cannot add a meter, sign or send. It
// has no users: it belongs on a loopback address, and Listen refuses any other
// without TLS and a token, which every address but /healthz then asks for. Against
// a browser it refuses POSTs from other origins and, where no token tells friend
// from foe, names of hosts that are not loopback addresses. Whom it turns away it
// counts in safemode_operations_refused_total and names in the log.
package console
