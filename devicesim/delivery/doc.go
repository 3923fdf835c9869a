// Package delivery brings the DCC's asynchronous responses and alerts to the
// User's inbox.
//
// Every message is POSTed as application/xml until the inbox answers 204
// (taken) or anything below 500 (refused: final, whatever the reason). After a
// 5xx, a time-out or a broken connection it is POSTed again, with growing
// pauses, for 24 hours (assumption; of the simulator's clock, with a least in real time:
// an inbox is no faster on a fast clock).
// A message is therefore delivered at least once, and perhaps more than once.
//
// A bounded number of workers share warm connections; what waits is kept in memory and
// is lost when the simulator stops. The package signs nothing and reads
// nothing of what it carries. It follows no redirects and uses no proxy.
package delivery
