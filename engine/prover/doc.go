// Package prover judges stored messages. It makes each message durable as it came, tries to
// prove it afterwards, and delivers it once it is proven. It owns the messages that are
// stored and not judged yet. It refuses to drop a message because a key is missing, and to
// deliver one that is not proven. It does not match answers to requests, and does not detect
// duplicates.
//
// # What becomes of a message
//
//	stored        durable: the DCC may forget it. It waits for its first try
//	undecided     a device's keys or a certificate of the DCC are not known yet. It is kept
//	              and tried again after a second, then after twice as long each time, up to
//	              an hour; and at once when keys become known
//	proven        Deliver was called
//	disbelieved   Disbelieve was called, and the message is not tried again
//	other         the same, and it is the User's other traffic: the DCC has signed it
//	settled       the sweep has made a durable mark for it: a record with its number
//
// A message that is not settled when the process dies is judged again in the next run, which
// passes it to [Prover.Again]. So a message may be delivered twice, but is never lost.
//
// # Order
//
// Many messages are proven at a time, those of one device one after the other, in the order
// of their records. An undecided message does not block others: those after it may be
// delivered before it. Its number shows where it belongs.
//
// # What it may cost
//
// While too many messages wait for their first try, [Prover.Receive] waits before it stores
// another, and so the DCC waits. Messages that are not proven take up to Limit bytes of the
// journal; other traffic does not count. Over that Receive fails with [errFull], and the DCC
// sends again later. Messages that cannot even be read may take three quarters of it, so
// that they leave room for answers. Bodies take up to Memory bytes of memory; the others are
// read from the journal again.
package prover
