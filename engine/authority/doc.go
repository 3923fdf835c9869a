// Package authority says whether a start of a sweep may act, from evidence alone: plan,
// roster, approvals, journal, the custody's book, configuration, gates. It does no I/O, and
// checks every signature that it is given. A sweep asks it at every start, preflight asks it
// before a start, and an audit asks it for every start that was made. A signer in a process of
// its own asks it with its own copies of the evidence.
//
// # What must be true
//
// [Case.Decide] checks, in this order:
//
//   - People. The roster is signed. Its signer, the direction's recorder, the plan's
//     preparer and both approvers are on it in these roles. Their certificates were valid
//     when they signed and are now: in time, chained, and on no revocation list. Recorder,
//     preparer and both approvers are four people, by name and by key.
//   - Binding. Journal and custody are those that the plan names. Approvers see and sign
//     both with the plan.
//   - Content. The lines of the plan that the journal has are of this plan, by hash.
//   - Ceased. Neither journal nor custody says that the sweep was ended for good.
//   - Custody. Journal and custody have the same starts, in the same order, and the
//     journal goes on from where the custody last saw it. A halt in either counts.
//   - Freeze. In live, a recorder on the roster has signed that the supplier's everyday
//     adapter sends nothing under the plan's identities, and the statement is still valid.
//   - Gates. The configuration allows no more than the plan, and no gate is closed.
//   - Approvals. Two approvals name this occasion. Or the approvals of the last start allow
//     further starts: they are proven again, every start that used them counts, and none of
//     these followed a halt.
//
// # Occasions
//
// An occasion is what approvals are given for. There are three: the first start of a journal;
// a resume, which names the record of the stop before it; and an acceptance, which names a
// restored journal by the hash of its last record and the custody's book by its file. Each
// occurs once, so its approvals serve once. A start is written into the custody's book before
// the journal says that it has begun. If the process dies between the two, the same
// approvals finish that start.
//
// # Acts
//
// [Acts] lists every act that a person may do, who may do it alone, who needs a second person,
// and what is recorded.
//
// # What it cannot know
//
// Somebody who may write every file of the engine's user can restore journal, custody's book
// and counters' files to one earlier instant together. Then all of them agree, and nothing
// on the machine shows it. Checkpoints and backups that were kept elsewhere show it in an
// audit, and a signer in a process of its own refuses it. The walk (TestWalkOfAuthority)
// counts these cases and finds no other.
package authority
