// Package prover judges stored messages. It makes each message durable as it came, has it
// proven afterwards, and hands it on when it is. It owns what is stored and not judged yet.
// It refuses to lose a message for want of a key, and to hand on what is not proven. It
// does not match answers to requests, and does not know duplicates.
//
// # What becomes of a message
//
//	stored        durable: the DCC may forget it. It waits for its proof
//	undecided     a device's keys cannot be had, or a certificate of the DCC is not known:
//	              it is kept and tried again, after a second, then after twice as long
//	              each time, up to an hour; at once when keys are learnt
//	proven        Deliver was called
//	disbelieved   Disbelieve was called, and the message is not tried again
//	other         likewise, and it is the User's other traffic: the DCC has signed it
//	settled       the sweep has made a durable mark for it, in a record that gives its
//	              number
//
// A message that is not settled when the process dies is tried again in the next run, which
// gives it to [Prover.Again]. So one may be delivered twice, and never not at all.
//
// # Order
//
// Many messages are proven at a time, but of one device one after the other, in the order
// of their records. One that is undecided steps aside and holds up nobody: those after it
// may be delivered before it. Its number tells where it belongs.
//
// # What it may cost
//
// While too many messages wait for their first proof, [Prover.Receive] waits before it
// stores another, and so does the DCC. What is stored and not proven takes no more of the
// journal than the limit; other traffic does not count. Over it Receive fails with [ErrFull], and the DCC sends again
// later. What cannot even be read may take three quarters of it, so that it cannot crowd
// out answers. Of kept messages only so many bodies are in memory; the others are read
// from the journal again.
package prover
