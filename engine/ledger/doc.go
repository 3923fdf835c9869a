// Package ledger holds what is known of one meter, and decides what to do next for it.
//
// A [Meter] is one planned meter: readings, counters, tallies, open requests, bars and a
// verdict. A [Policy] holds the rules. [Meter.Apply] and [Meter.ApplyAlert] take in what has
// happened. [Policy.Decide] says what to ask for at an instant. [Policy.Conclude] gives the verdict.
//
// # What it refuses
//
// It has no goroutine, log, metric, clock, network or disk. Its owner passes the time in. It
// sends nothing: [Policy.Decide] only says what is wanted. It refuses a record that does not
// follow from those before it ([errRecord]), and an event that cannot happen in a request's
// phase ([errDefect]). After either, nothing may be sent. It verifies nothing: what it is
// given must have been proven before.
//
// # Why no home is worse off
//
// These are the rules, for an auditor, with the file that has the code.
//
//   - Five reads and three commands exist. The commands are 1.6 to Credit, 2.5 and 7.3. None
//     of them turns a supply off, and none sets Prepayment.
//   - A verdict rests on reads that were asked for after the last command was signed
//     (Counters.StaleMode and StaleSupply in meter.go). An older answer proves
//     nothing.
//   - A command counts as possibly carried out as soon as it is signed ([Meter.Apply] of a
//     signed command), whatever is said of it later.
//   - Commands of one meter go one at a time, in the order of their counters (policy.go).
//   - After an unknown outcome the meter is read before a command is sent again. Only a
//     command that cannot have reached the meter is sent again without a read.
//   - 7.3 needs proof of the cause (arm.go). The meter was found off in Prepayment, or its
//     own alert says that its credit ran out, which happens in Prepayment only. A balance
//     shows that no credit was left. The mode reads Credit now. A fresh read says that the
//     supply is off now. Every other supply that is off goes to a person.
//   - How a meter was found rests on answers that arrived before a command to it was signed
//     (meter.go, observe). A hub may change the order: what was asked first may be done
//     last. Only Prepayment is proof whenever it is read, because no command of the engine
//     sets it; so a gas proxy, which is late, can prove it. A home that may be dark waits for
//     that proof, up to a bound, before 1.6 would destroy it (policy.go, readsDone).
//   - The balance is a precondition of 7.3. It is asked for again after no answer, and after
//     an answer without a value: of a gas meter first by its proxy, then of the meter
//     itself. Any answer that proves it counts, up to a bound.
//   - A gas proxy that only the portfolio names may be another home's. What it says shows
//     which homes are at risk; no 7.3 and no verdict rests on it (proxy.go).
//   - An alert counts once, and only if it is later than the read that it would overrule
//     (alert.go). If that is in doubt, one that forbids arming counts, and one that allows
//     it does not.
//   - A meter that is excluded is sent nothing more, whatever phase its requests are in. Its
//     verdict stays as history.
//   - Asking comes to an end: retries do, and each service has a bound. A meter of which
//     nothing current is known ends as unknown, never as safe.
//
// explore_test.go walks one meter through everything that can happen to it, and compares
// each state with the truth.
//
// # The table of phases
//
// A request is in one phase. Only [Request.Move] changes it, by these pairs of an event and
// the phase that follows. An unsigned first half is queued again; an unsigned second half is
// prepared again.
//
//	behind    room: queued, end: ended
//	queued    sign: signing, end: ended
//	signing   unsigned: queued or prepared, denied: ready, doubtful: resting,
//	          correlated: prepared, acknowledged: sent, end: ended
//	ready     post: posting, quarantine: held, end: ended
//	posting   denied: ready, doubtful: resting, correlated: prepared,
//	          acknowledged: sent, end: ended
//	resting   due: ready, quarantine: held, end: ended
//	prepared  sign: signing, end: ended
//	sent      quarantine: held, end: ended
//	held      end: ended
//	ended
//
// [Possible] says why any other pair cannot be.
//
// # What is packed
//
// [Meter.Pack] writes what is known of a meter beyond its plan, so that a start need not
// read all records again, and a meter that waits takes little memory. It writes what a
// replay of the records would give. So a request whose bytes may not be durable is left out,
// as if it had not been asked for. One whose Pre-Command is not signed yet asks Transform
// again, with the same bytes. One that a worker has, or that rests, is written as ready.
//
// Not packed are the plan, the gas proxy and who names it, Done and tags, which the owner
// keeps. A verdict is packed with its name and reason only; the rest follows from the
// readings. [Meter.Unpack] takes nothing but what Pack writes ([ErrPacked]).
package ledger
