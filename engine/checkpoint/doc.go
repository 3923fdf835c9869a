// Package checkpoint pins a journal's past: it keeps signed notes of how far the journal had
// come, and what its chain's hash was then. With a copy of the notes that was kept elsewhere
// one can show that a journal was rewritten, or cut back to an older state.
//
// It does not read records: a checkpoint is a number and a hash. It refuses notes of another
// key, notes of another form, and a file in which a later note is of an earlier record.
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
// The first line names the format. A note is durable when [Log.Append] returns. A crash may
// leave an incomplete note at the end; it is dropped when the file is opened again. If a note
// cannot be written whole, the file is cut back to the last complete one.
//
// The file lies beside the journal. If the custody is in a database, it lies among the files
// of the custody.
//
// [Seen] is another file, a machine's own: the same five lines, once, without a signature. It
// says how far this machine knows a journal in a database to have come.
package checkpoint
