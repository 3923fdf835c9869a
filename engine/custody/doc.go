// Package custody hands out originator counters and keeps them: every counter
// of one originator is given out once, in rising order, whatever crashes. It
// owns one file per originator. It refuses a second owner, a file it cannot
// trust, and a floor so high that it would use up the supplier's counters.
//
// A device accepts a critical command only with a counter over the last one
// it saw from that originator (GBCS 4.2), and there is no way back down: a
// counter given out twice makes a command that is refused as a replay, and one
// near 2^63 locks the supplier out of its meters.
//
// # Place
//
// The files lie in a folder, or in the database that has the sweep's journal, where a second
// machine finds them ([durable.Files]; package journal/store says how). All that is promised
// here holds for both.
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
// The file is only ever replaced as a whole, and only if it is what it was: in a folder a
// temporary file is written and synced, renamed over it, and the directory is synced.
// Counters are reserved in blocks: high_water is raised, durably, before the first counter of
// a block is given out, so a crash skips the rest of the block and repeats
// nothing. Close writes the exact last counter.
//
// One process uses a file at a time: it holds its lock. In a folder <EUI>.json.lock stays
// empty and carries it (flock). In a database it is the lease of the sweep, and ends with it;
// who has lost the lease writes no file more, so that no counter is given out that another
// may give out.
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
//   - A journal that was restored from a backup is refused: what was sent after
//     the backup it does not know, though a device may have done it. A kill leaves the file
//     as it was when the last block was reserved: a copy of the journal taken later than that
//     passes, and then the rest of the block is skipped, so that no counter is used twice.
//     Where the newer journal is lost, [Accept] takes the older one, which two must have
//     approved; the high-water mark stays.
//
//   - Handed back is closed: [Release] writes the last counter and nothing is
//     given out any more.
//
//   - A start that comes to nothing leaves nothing: [Counters.Discard] gives a claim
//     back of which no counter was used. [Check] says beforehand what Open would, by the same
//     code (also TestRefusals).
//
//   - A start that two have approved takes the counters over from the journal that its plan
//     names ([Options.From]), and from no other; the high-water mark stays.
//
// # Book
//
// book.ndjson, in a folder of mode 0600, is what a custody remembers of sweeps: an [Entry] a
// line, each with the hash of the line before it. The first gives the custody its ID, which
// plans and approvals name, and the mark of the file itself: in a folder its inode, in a
// database one of the cluster, the database and the custody. A custody that was copied, or
// restored from a backup, has another, and is refused until two have
// approved that very one ([Book.Copied], also TestCopiedFolderIsRefused). A standby that was
// promoted has the same. A start is written here
// before the journal says that it has begun; a halt and a cease before the journal does. A
// last line without its LF was never finished: nothing was done on it, and the next entry
// takes its place (TestTornEntryIsNone).
//
// Whoever may write the place can forge a book: it is no proof of anything by itself.
// engine/authority holds it and the journal to each other.
package custody
