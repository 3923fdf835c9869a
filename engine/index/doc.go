// Package index finds the records of one meter in a journal without reading the others.
// It owns a file beside the journal, FILE.index, that has no information of its own: it
// is made from the journal, is made again if it does not belong to that journal, and may be
// deleted at any time. It proves nothing: a record that it finds is read from the journal,
// and compared with the hash of the record before.
//
// # File
//
// An SQLite 3 database with user_version 2:
//
//	meter  place    INTEGER PRIMARY KEY  in the plan, from 1
//	       device   INTEGER UNIQUE       EUI-64 in two's complement
//	       hub      INTEGER              its communications hub, which its home's meters share
//	       mpxn, region, fuel TEXT
//	       verdict, reason TEXT          the last ones; empty: none yet
//	       at       INTEGER              of the verdict, nanoseconds since 1970-01-01 UTC
//	spot   device   INTEGER              which meter a record belongs to: the planned one, or
//	                                     else the target of its Request ID; 0: the sweep
//	       seq      INTEGER              of the record
//	       target   INTEGER              of its Request ID
//	mark   class    TEXT                 rejected or unverified (requests that ended so),
//	                                     refused_unpermitted, refused_uncorrelated and
//	                                     refused_unverified (messages)
//	       device   INTEGER
//	       seq      INTEGER              of the last such record
//	upto   journal  TEXT                 the journal's ID
//	       seq      INTEGER              of the last record that is in the index
//	       hash     BLOB                 that record's
//
// The index is made when somebody asks for a meter's records for the first time. From then
// on it follows the journal, a second or two behind it, at some 15 µs of processor time
// a record. Until it is complete the page says how much is missing. A power cut may lose its
// last seconds: they are read again.
package index
