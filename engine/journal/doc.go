// Package journal is the durable record of a sweep: an insert-only log with a
// hash chain, in segments. It owns the order of events and the moment
// at which each of them is durable. It refuses to change or remove a record,
// to be written by two at once, to go on after a failed write, and to read
// what is not a journal of this version or whose chain does not hold. Where the segments
// lie, and what a second machine needs beside them, package store says: in one SQLite file,
// or in a PostgreSQL database.
//
// # Segments
//
// A segment is one batch of records that became durable together. It has a plain head:
//
//	number            0, 1, 2 ... without a gap
//	first, last       numbers of its first and last record; the next segment begins with last+1
//	earliest, latest  times of its records: nanoseconds since 1970-01-01 UTC
//	kinds             bit k (1<<k) is set where it has a record of the kind numbered k (package record)
//	before, after     32 bytes each: the chain's hash before its first record and after its last
//	packing           how the body is packed: 0 plain, 1 zstd with dictionary 1
//	sum               SHA-256 of the body as it is packed
//	body              its records, packed
//
// The head says nothing of its own but for sum: all else follows from the records and is
// held to them whenever a segment is read. before is the after of the segment before; 32
// zero bytes for segment 0. It has one record, number 0 of the kind "journal", plain, which
// makes the journal: its body is the journal's ID, 32 hexadecimal digits made by chance or
// by the plan, and its time is that of the machine. It is never handed out.
//
// A body, unpacked, is its records one after the other, and nothing else. Each is its
// encoding, integers big-endian:
//
//	8 bytes  each: number; time, nanoseconds since 1970-01-01 UTC in two's complement;
//	         device (EUI-64 of the planned meter, 0 if none); Request ID: originator, target, counter (0 if none)
//	4 bytes  length in bytes, then the bytes, each: kind (its name), Service Reference
//	         Variant ("" if none), code, body (what the kind says of these two)
//
// and 4 bytes more: the first of the record's hash. They tell which record of a damaged
// segment is the first that is not as it was; they prove nothing.
//
// # Chain
//
// The hash of a record is SHA-256 over the hash of the record before (32 zero bytes for
// record 0) and the record's encoding. So every byte of every record is under the chain.
// The chain shows changes
// to whoever knows the last hash ([Journal.Tip]); somebody who may rewrite the
// whole journal can make a new chain, but not the same last hash.
//
// # Packing 1
//
// One zstd frame (RFC 8878) without a checksum, with the dictionary in the file dictionary1
// beside this text, whose number is 1. It is a zstd dictionary, part of the format, and
// never changed; a better one would be packing 2. It was made by makedictionary from the
// journals of four rehearsals of 60 meters each (safemode demo at 1,200 times real time;
// seed 11 with winter-evening, calm and north-outage, seed 12 with winter-evening), of
// version 2 and converted: its history is 32 KiB of records of the first, its tables are of
// all four. On two other rehearsals it packs batches of 10, 30, 100 and 400 records 6.6,
// 7.6, 8.5 and 9.1 times, without it 4.3, 6.2, 7.8 and 8.9 times. A body may unpack to 1 GiB at most.
//
// # Tip
//
// The store keeps the end of the journal beside the segments: the last segment's number,
// its last record and the hash after it. It holds nothing of its own: it is there
// so that segments missing at the end are noticed, and it is moved in the transaction that
// appends the segment.
//
// # State
//
// The kept state holds nothing of its own either: it is what somebody, the sweep, has
// made of the records so far, so that a start need not read all of them again (package
// sweep specifies the rows). [Journal.Keep] replaces rows and writes a record of kind
// "state" in one transaction. That record vouches for every row: its sha256 is over the
// rows' own hashes, in order, and each of these is SHA-256 over the row's number, eight
// bytes big-endian, and its value. A state that is not the one which the last such
// record vouches for is none ([ErrState]), and the records are read instead.
//
// # Durability
//
// One goroutine writes: what was queued within the linger becomes one segment, and
// [Journal.Commit] returns when the store has it durable. All records of one Commit or
// Append are in the same segment: they are all there after a crash, or none of them.
// Records are in the order in which Commit and Append were called. A reader sees durable
// records only.
//
// A message of the DCC is written before it is judged (kinds response, alert and
// received). What was made of it stands in a later record, which gives its number: the
// body's "of" in the kinds outcome, refused, proven and unmatched. Journals of before have
// no such numbers, and in them only proven messages were written; they are read as they
// are, once converted.
//
// A failed write ends the journal: [Journal.Failed] is closed, what waited is
// refused, and so is everything after. Whether the records of a failed batch
// are durable is decided when the journal is opened again; a batch is there
// as a whole or not at all. So does the store's word that another has gone on with the
// journal ([ErrTaken]), or that its lease could not be renewed ([ErrLapsed]).
//
// # Version 2
//
// Before, a journal was an SQLite file of user_version 2 with a row for each record and its
// hash. Its chain is the same. [Upgrade] makes a journal of today of it, with the same
// records, numbers, hashes and ID. It is not read otherwise.
//
// # SQL
//
// Whoever used the SQLite shell on a journal uses it on an export: [Export] writes the
// records as rows, with the chain, for a time, a device or a kind.
//
// # Promises
//
//   - What Commit acknowledged is there after a kill at any instant, and of the rest
//     whole calls, in order (TestKilledWhileCommitting, TestJournalMachine).
//   - A write that the disk refuses (full, an error on write or on fsync) ends the
//     journal, and what was acknowledged is there when it is opened again
//     (TestFullDisk, TestDiskFaults).
//   - A log or a checkpoint of SQLite that was cut or garbled at any place costs whole
//     batches from the end, which nobody was told are durable, and nothing else
//     (TestTornLog, TestTornCheckpoint). The other end of this is an fsync that lies: no
//     file can tell.
//   - One process writes (TestOneWriter).
//   - A record that was altered is named with its segment, and so is a segment that was
//     altered in any byte, removed, added or swapped, and damage to the file
//     (TestVerifyNamesTheFirstBadRecord, TestVerifyFindsFileDamage; [Examine] says what was
//     done, and package audit's TestEveryByteOfEverySegment tries every byte).
//   - A state that was altered is none (TestState, TestAlteredState).
//   - [Backup] copies one moment of a live journal, verified (TestBackupOfALiveJournal), and
//     so do [Copy] and, of a journal of before, [Upgrade] (TestCopy, TestUpgrade).
//     That a copy which is put back is refused is the promise of package custody.
//
// Recovery is the ordinary way of opening. What a sweep promises of what it records
// (nothing on the wire that is not here, a delivery answered with 204 is here, one
// message for a counter) benchmarks/crash counts on the wire, and package audit in the
// journal.
package journal
