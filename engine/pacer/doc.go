// Package pacer decides whether one more Service Request may leave now. It is a
// set of token buckets by GCRA (the generic cell rate algorithm): per User, per
// CSP region and per DCC service URL; and of sliding windows: the DCC's anomaly
// detection thresholds per SRV. A request needs a place in every bucket and window
// it touches, and takes all of them or none.
//
// It owns the arithmetic only: no clock, no goroutine, no lock, no waiting. One
// dispatcher owns a Pacer and passes the time in. It knows no DCC limit by
// itself (no public source gives one): a bucket without a configured limit is
// closed.
//
// The promise, for every bucket and every window of length w on the pacer's clock:
// sent(w) <= rate*w + burst. A clock reading that is older than one before it
// counts as the newest, so that readings out of order never allow more. And for
// every threshold and every window of its period: sent <= count, also at the
// window's ends, and across a restart if what was sent before is passed to
// [Pacer.Spent].
package pacer
