// Package engine carries out a frozen plan against the DCC. It is the facade: it connects
// journal, counter custody, signing gate, gateway, inbox, operations address and sweep, in
// the one order that is safe, and closes them again.
//
// It refuses a plan other than the one that the journal was begun with, another environment,
// test keys in environment live, keys that are not of a test PKI in environment simulator,
// and every start that engine/authority does not grant.
//
// # Threat model
//
// Who is trusted with what:
//
//   - The Authority's direction says what may be done at all. A recorder on the roster signs
//     it. The program can only narrow it.
//   - The holder of the certificate that roster.signed_by pins says who is on the roster.
//     A person who has this key and may write the configuration can invent two people: keep
//     the key away from the machine.
//   - An operator prepares the plan: meters, limits, tripwires, gates, journal and folder of
//     counters. The operator signs it, and cannot begin a sweep.
//   - Two approvers, who neither prepared nor recorded, see the plan as the program prints
//     it and compare its digest. They are trusted not to sign for each other.
//   - The DCC and the devices are trusted by their signatures and MACs alone.
//   - A person with a token for looking may look at the operations address. A person with
//     a token for orders may pause, stop, leave meters alone and cease. If no token is
//     configured, everybody who reaches the address, on this machine, may do both. None of
//     these orders allows more than the plan does.
//
// Two people are needed to:
//
//   - begin;
//   - go on after a halt, which they name;
//   - go on after more stops, or later, than the first approvals allowed;
//   - accept a restored journal, or a copied folder of counters;
//   - take counters over from another journal;
//   - loosen anything that the plan binds: that takes a new plan.
//
// engine/authority lists every act.
//
// One person who may run the program and write the files of the engine's user can stop the
// sweep, make it refuse, lose its record, and narrow what it does. Whatever else this person
// tries is refused, and the audit names it: other meters or starts in the journal, approvals
// of other people, times, plans, journals or folders, a journal or a folder that was put
// back or moved away, an invalid certificate, a source of evidence that was taken out.
//
// Some acts of this person can only be stopped by a signer in a process of its own, under
// another user. Without it this person can:
//
//   - read the supplier's keys, as the engine does, and sign without the engine;
//   - put journal, book and counter files back to one earlier instant together;
//   - replace roster, pinned certificate and authorities together with a plan of their own;
//   - run another program in place of this one.
//
// The audit finds of these acts what contradicts backups, checkpoints and a configuration
// that were kept elsewhere.
package engine
