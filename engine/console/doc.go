// Package console is the operations address of a running engine: metrics, health,
// the state of the sweep, and an operator's orders.
//
//	GET  /                      a page for people; it can be read without scripts
//	GET  /live                  its middle again every second, as server-sent events
//	GET  /note                  what one shift tells the next, as text
//	GET  /meters                lists of meters, and the way to one by its id
//	GET  /meter/PLACE           the story of the meter at a place of the plan
//	GET  /metrics               Prometheus
//	GET  /healthz               200 while the process can work, else 503 and why
//	GET  /readyz                200 while the sweep takes new work, else 503, and why to who may look
//	GET  /api/v1/sweep          state of the sweep as JSON
//	GET  /api/v1/openapi.json   all this as OpenAPI 3.1, with the schema of the state
//	POST /api/v1/sweep/ACTION   204 once the order holds and is journalled
//	                            422 if it makes no sense, 403 from who gives no orders,
//	                            409 if the sweep cannot do it any more
//
// All but /healthz and /readyz need a token where there are tokens: to look for what is read, to
// order for an ACTION. Who lacks the role gets 403 and is told who has it. Nothing is approved here:
// that takes the approver's own key.
//
// ACTION is one of pause, resume, stop, rerun, exclude, suppress, deleted, renew, cease
// and go_on. The body is empty, or a JSON object as [Order] has it. Every order has a
// person's name: that of the person whose token comes with it, or, where no people
// are configured, the one that the header Safemode-Person claims, which is then
// recorded as not authenticated. What cannot be undone (cease, exclude, suppress) wants the sweep's id in
// confirm, and a named person, who in a live sweep has a token.
//
// It decides nothing and starts nothing: it cannot add a meter, sign or send. It
// belongs on a loopback address, and Listen refuses any other without TLS and a token
// or people, which every address but these two then asks for. Against
// a browser it refuses POSTs from other origins and, where no token tells friend
// from foe, names of hosts that are not loopback addresses. Whom it turns away it
// counts in safemode_operations_refused_total and names in the log.
//
// Connections are bounded by package listen: newcomers come first, so that neither
// strangers nor readers who hold many keep an operator out, and no person has more than half
// of the places. Requests and answers have their time, and who asks more than 100
// times a second is put off with 429, but for orders. What is read of the sweep is at most a
// second old, made once for all readers; an order has it made again.
package console
