// Package checkpoint pins a journal's past: signed notes of how far the journal had
// come and what its chain's hash was then. Who holds a copy of the notes elsewhere can
// show that a journal was rewritten, or cut back to an older state, whoever did it.
//
// It knows nothing of records: a checkpoint is a number and a hash. It refuses notes of
// another key, of another form, and a file that goes back on itself.
//
// # File
//
// Notes in the signed note format of golang.org/x/mod/sumdb/note (Ed25519), one after
// the other, each with exactly one signature. The text of a note is five lines:
//
//	safemode journal
//	5f0c...             the journal's ID, 32 hexadecimal digits
//	12473               seq of the last durable record
//	pZ3Yk...=           its hash: 32 bytes in base64
//	2026-11-25T16:20:00Z  when the note was made, by the machine's clock
//
// The first line names the format. A note is durable when [Log.Append] returns. A torn
// note at the end is what a crash leaves, and is dropped when the file is opened again.
// Where a note cannot be written whole, the file is cut back to the last one that is.
//
// The file lies beside the journal or, where the custody is in a database, among the files of
// the custody.
//
// [Seen] is another file, a machine's own: the same five lines, once, without a signature. It
// says how far this machine knows a journal in a database to have come.
package checkpoint
