// Package authority says whether one start of a sweep may act, from evidence alone: plan,
// roster, approvals, what the journal claims of itself, what the custody's book remembers,
// what the configuration allows, the gates. It reads, writes and asks nothing; what it is
// handed it takes for claims and proves. A sweep asks it at every start, preflight
// beforehand, an audit of every start that was made, and a signer in a process of its own
// may ask it of its own copies.
//
// # What must hold
//
// [Case.Decide] asks, in this order:
//
//   - People. The roster is signed, and its signer, the direction's recorder, the plan's
//     preparer and both approvers are on it in these roles, with certificates that are in
//     their time when they signed and now, chained, and on no revocation list. Recorder,
//     preparer and both approvers are four people, by name and by key.
//   - Bound. Journal and custody are those that the plan names, which was made before it
//     was approved, so that approvers see and sign both.
//   - Planned. What the journal has of the plan is the plan's, by hash.
//   - Not ceased, as the journal or the custody says.
//   - Remembered. Journal and custody know the same starts, in the same order, and the
//     journal goes on from where the custody last saw it. A halt that either knows counts.
//   - Frozen. In live, a recorder on the roster has signed that the supplier's everyday
//     adapter sends nothing under the plan's identities, and that still holds.
//   - Open. The configuration allows no more than the plan, and every gate is open.
//   - Granted. Two approvals name this very occasion; or those of the last start gave this
//     one ahead: they are proven anew, each start by them is counted, and none of these
//     followed a halt.
//
// # Occasions
//
// The start of a journal that has none; a resume, which names the record of the stop that it
// follows; an acceptance, which names a restored journal by the hash of its last record,
// and the custody's book by its file. Each comes once, and with it its approvals: a start
// is spent in the custody's book before the journal says that it has begun. One that was
// spent and not begun, because the process died between the two, is finished by the same
// approvals.
//
// # Acts
//
// [Acts] lists every act that a person may do, who may do it alone, who needs a second, and
// what is recorded.
//
// # What it cannot know
//
// Who may write every file of the engine's user can put journal, custody's book and
// counters' files back to one earlier instant together, and all of them agree. Nothing on
// the machine tells then; the checkpoints and backups that were kept elsewhere do, in an
// audit, and the memory of a signer in a process of its own refuses it. The walk
// (TestWalkOfAuthority) counts these and finds no other.
package authority
