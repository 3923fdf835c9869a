// Package breaker keeps one circuit per DCC service and CSP region, so that a
// service that fails is left alone for a while instead of being knocked at by
// every meter.
//
// It watches the synchronous call only: what a meter answers an hour later is
// no news about the service. It holds no queue, makes no retry and knows no
// error by name: the Options say which errors are no failures of the service.
//
// A circuit trips when, in the rolling window, a minimum of calls was reported
// and the share of failures reached the ratio. Open it refuses everything; after
// a pause it lets one probe at a time through, and the probe's outcome closes or
// opens it again. A probe that is never reported counts as failed when its lease
// runs out: gobreaker by itself would then refuse for ever.
package breaker
