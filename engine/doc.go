// Package engine carries a frozen plan out against the DCC. It is the facade: it
// wires journal, counter custody, signing gate, gateway, inbox, operations
// address and sweep together, in the one order that is safe, and takes them apart
// again.
//
// What it refuses: a plan other than the one the journal was begun with, another
// environment, test keys in environment live, keys that are not of a test PKI in
// environment simulator, and every start that engine/authority does not grant.
//
// # Threat model
//
// Who is trusted with what:
//
//   - The Authority's direction says what may be done at all; a recorder on the roster
//     signs it. The program can only narrow it.
//   - The holder of the certificate that roster.signed_by pins says who is on the roster.
//     Who holds this key and may write the configuration can make up two people: keep it
//     away from the machine.
//   - An operator prepares: which meters, limits, tripwires, gates, journal and folder of
//     counters. They sign it, and can begin nothing.
//   - Two approvers, who neither prepared nor recorded, see the plan as the program prints
//     it and compare its digest. They are trusted not to sign for each other.
//   - The DCC and the devices are believed by their signatures and MACs alone.
//   - Whoever has a token to look may look at the operations address; with one to order,
//     steer: pause, stop, leave meters alone, cease. Where no token is configured, whoever
//     reaches the address, on this machine, may do both. Nothing that they may do widens.
//
// What two people are needed for: to begin; to go on after a halt, naming it; to go on
// after more stops, or later, than was given ahead; to take a restored journal, or a copied
// folder of counters, for the one; to take counters over from another journal; to loosen
// anything that the plan binds, by a new plan. engine/authority lists every act.
//
// What one person can do who may run the program and write the files of the engine's user:
// stop the sweep, make it refuse, lose its record, and everything that narrows. What they
// try beyond is refused, and the audit names it: other meters or starts in the journal,
// approvals of other people, times, plans, journals or folders, a journal or a folder put
// back or moved away, a certificate that does not stand, a source of evidence taken out.
//
// What only a signer in a process of its own, under another user, stops: this person also
// reads the supplier's keys, as the engine does, and can sign without the engine; can put
// journal, book and counters' files back to one earlier instant together; can replace
// roster, pinned certificate and authorities together with a plan of their own; and can run
// another program in this one's place. Of these the audit finds what backups, checkpoints
// and a configuration that were kept elsewhere contradict.
package engine
