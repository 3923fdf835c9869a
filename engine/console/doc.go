// Package console is the operations address of a running engine: metrics, health, the state
// of the sweep, and an operator's orders.
//
//	GET  /                      a page for people; it can be read without scripts
//	GET  /live                  the part of that page that changes, once a second, as server-sent events
//	GET  /note                  what one shift tells the next, as text
//	GET  /meters                lists of meters, and a search for one by its id
//	GET  /meter/PLACE           the story of the meter at a place of the plan
//	GET  /metrics               Prometheus
//	GET  /healthz               200 while the process can work, else 503 and why
//	GET  /readyz                200 while the sweep takes new work, else 503 and why
//	GET  /api/v1/sweep          state of the sweep as JSON
//	GET  /api/v1/openapi.json   all this as OpenAPI 3.1, with the schema of the state
//	POST /api/v1/sweep/ACTION   204 once the order is carried out and journalled
//	                            422 if it makes no sense, 403 if the person may give no orders,
//	                            409 if the sweep cannot do it any more
//
// If tokens are configured, every address but /healthz needs one: one for looking, or for an
// ACTION one for orders. A person without the role gets 403, and is told who has it. Nothing
// can be approved here: an approval takes the approver's own key.
//
// ACTION is one of pause, resume, stop, rerun, exclude, suppress, deleted, renew, cease
// and go_on. The body is empty, or a JSON object as in [Order]. Every order has the name of
// a person: the person of the token. If no people are configured, it is the person that the
// header Safemode-Person claims, and the journal says that this was not authenticated. The
// orders that cannot be undone (cease, exclude, suppress) need the sweep's id in confirm, and
// a named person, who in a live sweep has a token.
//
// It decides nothing and starts nothing: it cannot add a meter, sign or send. It should have a
// loopback address. Listen refuses any other address without TLS and a token or people; then
// every address but /healthz asks for a token. Against attacks from a browser it refuses POSTs
// from other origins, and, where no token is configured, host names that are not loopback
// addresses. It counts what it refuses in safemode_operations_refused_total, and logs the peer.
//
// Package listen bounds the connections: new connections get a place first, so that neither
// strangers nor readers with many connections keep an operator out, and no person has more
// than half of the places. Requests and answers have time limits. More than 100 requests
// a second from one peer are answered with 429, except for orders. What is read of the sweep
// is at most a second old, and is made once for all readers; an order has it made again.
package console
