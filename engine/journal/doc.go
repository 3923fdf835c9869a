// Package journal is the durable record of a sweep: an append-only log with a
// hash chain, in segments. It owns the order of events and the moment
// at which each of them is durable. It refuses to change or remove a record,
// to be written by two processes at once, to go on after a failed write, and to read
// a file that is not a journal of this version or a journal with a broken chain. Package
// store keeps the segments, in one SQLite file or in a PostgreSQL database, and what a second
// machine needs beside them.
//
// # Segments
//
// A segment is one batch of records that became durable together. It has a plain head:
//
//	number            0, 1, 2 ... without a gap
//	first, last       numbers of its first and last record; the next segment begins with last+1
//	earliest, latest  times of its records: nanoseconds since 1970-01-01 UTC
//	kinds             bit k (1<<k) is set if it has a record of the kind numbered k (package record)
//	before, after     32 bytes each: the chain's hash before its first record and after its last
//	packing           how the body is packed: 0 plain, 1 zstd with dictionary 1
//	sum               SHA-256 of the body as it is packed
//	body              its records, packed
//
// Except for sum, everything in the head follows from the records, and is compared with them
// whenever a segment is read. before is the after of the segment before; in segment 0 it is 32
// zero bytes. Segment 0 has one record, number 0 of the kind "journal", plain, which
// makes the journal. Its body is the journal's ID, 32 hexadecimal digits, random or
// from the plan, and its time is that of the machine. Readers of the journal never get it.
//
// A body, unpacked, is its records one after the other, and nothing else. Each is its
// encoding, integers big-endian:
//
//	8 bytes  each: number; time, nanoseconds since 1970-01-01 UTC in two's complement;
//	         device (EUI-64 of the planned meter, 0 if none); Request ID: originator, target, counter (0 if none)
//	4 bytes  length in bytes, then the bytes, each: kind (its name), Service Reference
//	         Variant ("" if none), code, body (the kind says what these two are)
//
// and 4 bytes more: the first of the record's hash. They show which record of a damaged
// segment is the first that was changed; they prove nothing.
//
// # Chain
//
// The hash of a record is SHA-256 over the hash of the record before (32 zero bytes for
// record 0) and the record's encoding. So every byte of every record is under the chain.
// A reader who knows the last hash ([Journal.Tip]) sees every change. Somebody who may rewrite
// the whole journal can make a new chain, but not the same last hash.
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
// 7.6, 8.5 and 9.1 times, without it 4.3, 6.2, 7.8 and 8.9 times. A body may unpack to 1 GiB
// at most.
//
// # Tip
//
// The store keeps the end of the journal beside the segments: the last segment's number,
// its last record and the hash after it. All of that follows from the segments. It is kept
// so that segments missing at the end are noticed, and it changes in the transaction that
// appends a segment.
//
// # State
//
// The kept state follows from the records, too. The sweep makes it, so that a start need not
// read all records again (package sweep specifies the rows). [Journal.Keep] replaces rows
// and writes a record of kind "state" in one transaction. That record proves every row: its
// sha256 is over the rows' own hashes, in order, and each of these is SHA-256 over the row's
// number, eight bytes big-endian, and its value. A state whose hashes are not those of the
// last such record is not used ([ErrState]), and the records are read instead.
//
// # Durability
//
// One goroutine writes: the records that were queued within the linger become one segment, and
// [Journal.Commit] returns when the store has it durable. All records of one Commit or
// Append are in the same segment: after a crash either all of them are there or none.
// Records are in the order in which Commit and Append were called. A reader sees durable
// records only.
//
// A message of the DCC is written before it is judged (kinds response, alert and
// received). A later record says how it was judged, and gives its number: the body's "of" in
// the kinds outcome, refused, proven and unmatched. Journals of older programs have no such
// numbers, and only proven messages were written to them; once converted they are read as
// they are.
//
// A failed write ends the journal: [Journal.Failed] is closed, and all records that wait or
// come later are refused. Whether the records of a failed batch are durable is decided when
// the journal is opened again; a batch is there as a whole or not at all. Two more errors of
// the store end the journal: another process has gone on with it ([ErrTaken]), or the lease
// could not be renewed ([ErrLapsed]).
//
// # Version 2
//
// Older programs wrote a journal as an SQLite file of user_version 2, with a row for each
// record and its hash. Its chain is the same. [Upgrade] makes a journal of this version from
// it, with the same records, numbers, hashes and ID. Nothing else reads it.
//
// # SQL
//
// To ask a journal by SQL, export it: [Journal.ExportSQLite] writes the records as rows of an SQLite file,
// with the chain, for a time, a device or a kind.
//
// # Promises
//
//   - After a kill at any instant, all calls that Commit acknowledged are there. Of the
//     others the first ones may be there, in order, each as a whole
//     (TestKilledWhileCommitting, TestJournalMachine).
//   - A write that the disk refuses (full, an error on write or on fsync) ends the
//     journal. All acknowledged records are there when it is opened again
//     (TestFullDisk, TestDiskFaults).
//   - If a log or a checkpoint of SQLite was cut or garbled at any place, only whole batches
//     at the end are lost, which were not acknowledged (TestTornLog, TestTornCheckpoint). The
//     journal cannot notice a disk that reports fsync and has not done it.
//   - One process writes (TestOneWriter).
//   - Verification names a record that was altered, with its segment. It also finds
//     a segment that was altered in any byte, removed, added or swapped, and damage to the
//     file (TestVerifyNamesTheFirstBadRecord, TestVerifyFindsFileDamage; [Examine] says what
//     was done, and package audit's TestEveryByteOfEverySegment tries every byte).
//   - A state that was altered is not used (TestState, TestAlteredState).
//   - [Backup] copies one moment of a live journal, verified (TestBackupOfALiveJournal), and
//     so do [Copy] and, for a journal of version 2, [Upgrade] (TestCopy, TestUpgrade).
//     Package custody promises that a copy which is put back is refused.
//
// Recovery is the ordinary way of opening. A sweep promises more: the journal has everything
// that is on the wire, it has each delivery that was answered with 204, and there is one
// message for a counter. benchmarks/crash counts that on the wire, and package audit in the
// journal.
package journal
