// Package journal is the durable record of a sweep: an insert-only log with a
// hash chain, in one SQLite file. It owns the order of events and the moment
// at which each of them is durable. It refuses to change or remove a record,
// to be written by two processes, to go on after a failed write, and to read
// a file that is not a journal of this version or whose chain does not hold.
//
// # File
//
// An SQLite 3 database with application_id 0x534D4A4E ("SMJN"), user_version
// 2, pages of 16 KiB, and exactly this schema:
//
//	CREATE TABLE record (
//	    seq        INTEGER PRIMARY KEY, -- 0, then 1, 2, 3 ... without a gap
//	    at         INTEGER NOT NULL,    -- the sweep's clock, nanoseconds since 1970-01-01 UTC
//	    kind       TEXT NOT NULL,       -- the name of a Kind
//	    device     INTEGER NOT NULL,    -- EUI-64 of the planned meter, 0 if none
//	    srv        TEXT NOT NULL,       -- Service Reference Variant, '' if none
//	    originator INTEGER NOT NULL,    -- Request ID: EUI-64, 0 if none
//	    target     INTEGER NOT NULL,    -- Request ID: EUI-64, 0 if none
//	    counter    INTEGER NOT NULL,    -- Request ID: originator counter, 0 if none
//	    code       TEXT NOT NULL,       -- what the kind says of it
//	    body       BLOB NOT NULL,       -- what the kind says of it
//	    hash       BLOB NOT NULL        -- 32 bytes: the chain
//	) STRICT
//	CREATE INDEX mark ON record (kind) WHERE kind IN ('opened','closed','state')
//	CREATE INDEX stop ON record (kind) WHERE kind IN ('tripwire','halted','operator') -- not in older ones
//	CREATE TABLE state (
//	    row   INTEGER PRIMARY KEY,      -- 0, 1, 2 ... without a gap
//	    value BLOB NOT NULL             -- bytes of whoever keeps it
//	) STRICT
//	CREATE TABLE tip (
//	    one  INTEGER PRIMARY KEY CHECK (one = 1),
//	    seq  INTEGER NOT NULL,          -- the last record's seq
//	    hash BLOB NOT NULL              -- the last record's hash
//	) STRICT
//
// EUIs are 64-bit integers in two's complement: printf('%016X', device) shows
// one in the SQLite shell. Record 0 has the kind "journal" and makes the
// journal: its body is the journal's ID, 32 hexadecimal digits made by chance,
// and its time is that of the machine. It is never handed out. The table tip
// holds nothing of its own: it follows from the last record, and is there so
// that records missing at the end are noticed.
//
// The table state holds nothing of its own either: it is what somebody, the sweep, has
// made of the records so far, so that a start need not read all of them again (package
// sweep specifies the rows). [Journal.Keep] replaces rows and writes a record of kind
// "state" in one transaction. That record vouches for every row: its sha256 is over the
// rows' own hashes, in order, and each of these is SHA-256 over the row's number, eight
// bytes big-endian, and its value. A state that is not the one which the last such
// record vouches for is none ([ErrState]), and the records are read instead.
//
// # Chain
//
// The hash of a record is SHA-256 over, in this order, with integers
// big-endian:
//
//	32 bytes  hash of the record before; 32 zero bytes for record 0
//	 8 bytes  each: seq, at, device, originator, target, counter
//	 4 bytes  length in bytes, then the bytes, each: kind, srv, code, body
//
// So every column of every record is under the chain. The chain shows changes
// to whoever knows the last hash ([Journal.Tip]); somebody who may rewrite the
// whole file can make a new chain, but not the same last hash.
//
// # Durability
//
// The file is in WAL mode with synchronous FULL. One goroutine writes: what
// was queued within the linger becomes one transaction, and [Journal.Commit]
// returns after its fsync. All records of one Commit or Append are in the same
// transaction: they are all there after a crash, or none of them. Records are
// in the order in which Commit and Append were called. A reader sees durable
// records only.
//
// A message of the DCC is written before it is judged (kinds response, alert and
// received). What was made of it stands in a later record, which gives its number: the
// body's "of" in the kinds outcome, refused, proven and unmatched. Journals of before have
// no such numbers, and in them only proven messages were written. They are of the same
// version and are read as they are.
//
// A failed write ends the journal: [Journal.Failed] is closed, what waited is
// refused, and so is everything after. Whether the records of a failed batch
// are on the disk is decided when the file is opened again; a batch is there
// as a whole or not at all.
//
// # Promises
//
//   - What Commit acknowledged is there after a kill at any instant, and of the rest
//     whole calls, in order (TestKilledWhileCommitting, TestJournalMachine).
//   - A write that the disk refuses (full, an error on write or on fsync) ends the
//     journal, and what was acknowledged is there when it is opened again
//     (TestFullDisk, TestDiskFaults).
//   - A log or a checkpoint that was cut or garbled at any place costs whole batches
//     from the end, which nobody was told are durable, and nothing else (TestTornLog,
//     TestTornCheckpoint). The other end of this is an fsync that lies: no file can tell.
//   - One process writes (TestOneWriter).
//   - A record that was altered, removed, added or swapped is named, and so is damage
//     to the file (TestVerifyNamesTheFirstBadRecord, TestVerifyFindsFileDamage;
//     [Examine] says what was done, see package audit).
//   - A state that was altered is none (TestState, TestAlteredState).
//   - [Backup] copies one moment of a live journal, verified (TestBackupOfALiveJournal).
//     That a copy which is put back is refused is the promise of package custody.
//
// Recovery is the ordinary way of opening. What a sweep promises of what it records
// (nothing on the wire that is not here, a delivery answered with 204 is here, one
// message for a counter) benchmarks/crash counts on the wire, and package audit in the
// file.
//
// After a Close the journal is one file. After a crash the file with the
// suffix -wal belongs to it: a copy without it lacks the last records. The
// file with the suffix .lock stays empty and carries the lock that keeps a
// second process out.
package journal
