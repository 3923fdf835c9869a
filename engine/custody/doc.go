// Package custody hands out originator counters and keeps them: every counter
// of one originator is given out once, in rising order, whatever crashes. It
// owns one file per originator. It refuses a second owner, a file it cannot
// trust, and a floor so high that it would use up the supplier's counters.
//
// A device accepts a critical command only with a counter over the last one
// it saw from that originator (GBCS 4.2), and nothing lowers that again. If a counter
// is given out twice, the second command is refused as a replay. A counter near 2^63
// locks the supplier out of its meters.
//
// # Place
//
// The files lie in a folder, or in the database that has the sweep's journal, where a second
// machine finds them ([durable.Files]; package journal/store says how). The promises below
// are true of both.
//
// # File
//
// <EUI, hyphenated>.json, in a folder of mode 0600, one JSON object:
//
//	originator   the EUI, hyphenated; must agree with the file's name
//	owner        the ID of the journal that the counters belong to
//	high_water   no counter over this one was ever given out
//	journal_records, journal_hash
//	             how far the owner had come when the file was written: the number
//	             of its durable records and the hash of the last; absent for none
//	released     when the counters were handed back; absent while they are ours
//
// The file is always replaced as a whole, and only if nobody has changed it: in a folder a
// temporary file is written and synced, renamed over it, and the directory is synced.
// Counters are reserved in blocks: high_water is raised, durably, before the first counter of
// a block is given out, so a crash skips the rest of the block and repeats
// nothing. Close writes the exact last counter.
//
// One process at a time uses a file: it has its lock. In a folder the lock is a flock on
// <EUI>.json.lock, which stays empty. In a database it is the lease of the sweep, and ends
// with it: a process that has lost the lease cannot write a file, so that it gives out no
// counter that another process may give out.
//
// # Promises
//
// TestPromises shows them for each place, unless another test is named.
//
//   - No counter is given out twice, whatever crashes and whatever the clock does (also
//     TestCustodyMachine), after a copy of this file was restored, and when the disk refuses
//     the reservation (TestFailedReservation).
//
//   - One process, and one journal, at a time.
//
//   - A journal that was restored from a backup is refused: it does not have what was sent
//     after the backup, though a device may have carried it out. After a kill the file is as
//     it was when the last block was reserved. A copy of the journal that was taken later than
//     that is accepted, and the rest of the block is skipped, so that no counter is used
//     twice. If the newer journal is lost, [Accept] takes the older one, after two people have
//     approved it; the high-water mark stays.
//
//   - After [Release], which hands the counters back and writes the last one, no counter is
//     given out any more.
//
//   - A start that fails leaves nothing behind: [Counters.Discard] gives back a claim of
//     which no counter was used. [Check] says beforehand what Open would say, by the same
//     code (also TestRefusals).
//
//   - A start that two people have approved takes the counters over from the journal that its
//     plan names ([Options.From]), and from no other; the high-water mark stays.
//
// # Book
//
// book.ndjson, in a folder of mode 0600, is the custody's own record of sweeps: an [Entry] a
// line, each with the hash of the line before it. The first gives the custody its ID, which
// plans and approvals name, and the mark of the file itself: in a folder its inode, in a
// database a mark of the cluster, the database and the custody. A custody that was copied, or
// restored from a backup, has another mark, and is refused until two people have approved
// that very one ([Book.Copied], also TestCopiedFolderIsRefused). A standby that was promoted
// has the same mark. A start is written here before the journal says that it has begun. A halt
// and a cease are written here before the journal has them. A last line without its LF was
// never finished: nothing was done because of it, and the next entry takes its place
// (TestTornEntryIsNone).
//
// A person who may write the place can forge a book, so by itself it proves nothing.
// engine/authority compares it with the journal.
package custody
