// Package ledger is what is known of one meter, what follows from it, and what is to be
// done next.
//
// A [Meter] is one planned meter: readings, counters, tallies, open requests, bars and a
// verdict. A [Policy] is what the engine does for a meter. [Meter.Apply] and
// [Meter.TakeAlert] take in what has happened. [Policy.Decide] says what to ask for now.
// [Policy.Conclude] gives the verdict.
//
// # What it refuses
//
// It has no goroutine, no log, no metric, no clock, no network and no disk. Whoever has a
// meter owns it and tells it the time. It sends nothing: [Policy.Decide] only says what is
// wanted. It takes in no record that does not follow from those before it ([ErrRecord]),
// and no event that cannot happen in a request's phase ([ErrDefect]). After either, nothing
// may be sent. It believes nobody: what it is given must be proven before.
//
// # Why a home is not worse off for it
//
// An auditor may read the rules here, and the code that holds them in the files named.
//
//   - Five reads and three commands exist. The commands are 1.6 to Credit, 2.5 and 7.3. None
//     of them turns a supply off, and none sets Prepayment.
//   - A verdict rests on reads that were asked for after the last command was signed
//     (Counters.StaleMode and StaleSupply in meter.go). An older answer proves
//     nothing.
//   - A command may have been carried out as soon as it is signed ([Meter.Apply] of a
//     signed command), whatever anybody says of it later.
//   - Commands of one meter go one at a time, in the order of their counters (policy.go).
//   - After an unknown outcome the meter is read before anything is asked again. Only a
//     command that cannot have reached the meter is asked for again without a read.
//   - 7.3 needs proof of the cause (arm.go). The meter was found off in Prepayment, or has
//     itself told that its credit ran out, which it does in Prepayment only. A balance shows
//     that no credit was left. The mode reads Credit now. A fresh read says that it is off
//     now. Whatever else is off is a person's matter.
//   - How a meter was found is what was heard before a command to it was signed (meter.go,
//     observe). A hub promises no order: what was asked first may be done last. Prepayment
//     alone is proof whenever it is read, because no command of the engine sets it: so a gas
//     proxy, which is late, may tell it. A home that may be dark waits for that proof, with a
//     bound, before 1.6 takes it away (policy.go, readsIn).
//   - The balance is a precondition there and no nicety. No answer, and an answer without a
//     value, have it asked for again: of a gas meter first by its proxy, then of the meter
//     itself. Any answer that proves it counts, and a bound ends it.
//   - What a gas proxy says that only the portfolio names may be another home's. It tells
//     which homes are at risk; no 7.3 and no verdict rests on it (hearsay.go).
//   - An alert is taken once, and only if it is later than the read that it would overrule
//     (alert.go). One that forbids arming holds in doubt; one that allows it does not.
//   - A meter that is excluded is asked for nothing more, in whatever phase its requests
//     are. A verdict that it had stays as history.
//   - Asking comes to an end: by the ladder of retries, and by a bound for each service.
//     A meter of which nothing current is known ends as unknown, never as safe.
//
// explore_test.go walks one meter through everything that can happen to it, and holds each
// state against the truth.
//
// # The table of phases
//
// A request has one phase. It moves by [Request.Move] alone, which knows these pairs of an
// event and the phase that follows, and no others. An unsigned first leg is queued again;
// an unsigned command is prepared again.
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
// [Possible] says why a pair is not there.
//
// # What is packed
//
// [Meter.Pack] writes what is known of a meter beyond its plan, so that a start need not
// read all records again, and a meter that sleeps takes little memory. It writes what
// folding the records would give. So a request whose bytes may not be durable is left out,
// as if it had not been asked for. One whose Pre-Command is not signed yet is written as it
// was before: Transform is asked once more, with the same bytes. What a worker has, or what
// rests, is written as ready to go again.
//
// Not packed are the plan, the gas proxy and who names it, Done and tags, which the owner
// keeps; and of a
// verdict all but its name and reason, which follows from the readings. [Meter.Unpack]
// takes nothing but what Pack writes ([ErrPacked]).
package ledger
