// Package breaker keeps one circuit per DCC service and CSP region. If a service fails, its
// circuit refuses calls for a while, so that not every meter calls a service that is down.
//
// It watches the synchronous call only. What a meter answers an hour later says nothing about
// the service. It holds no queue and retries nothing. It does not know errors by name: the
// Options say which errors are no failures of the service.
//
// A circuit opens when the calls in the rolling window reach a minimum and the share of
// failures among them reaches the ratio. An open circuit refuses everything. After a pause
// it lets one probe at a time through, and the probe's outcome closes or opens it again. A
// probe that nobody reports counts as failed when its lease ends: without that gobreaker
// would refuse for ever.
package breaker
