// Package notice tells people who do not watch the sweep that they are needed: by a webhook
// or by mail. Package advice puts the causes and the words into the status; this package sends
// one notice for each cause.
//
// # What is one cause
//
// A cause is a kind, what it is about, and since when ([record.Cause]). The notice is made
// when a status first has the cause. The cause is over when the status has it no more: at once
// for a halt and for a cause with an instant of its own; after five minutes without it for
// a cause that comes and goes, like an open circuit. A cause that comes again after its end
// makes a new notice.
//
// # What is durable
//
// Causes and unsent notices are in one file beside the journal. A notice is durable there
// before it is sent, and is removed when every channel has taken it. If the process is killed
// between the two, the notice is sent twice, with the same id. If the file cannot be written,
// for example because the disk is full, the notice is sent all the same.
//
// While a channel takes nothing, its notices wait in order. If one of the same kind and scope
// waits already, no second one is added: the first says how often its cause came. So the number
// of kinds bounds how many wait.
//
// # The webhook
//
// A POST of one JSON object, a [Notice], with the headers
//
//	Content-Type: application/json
//	Safemode-Notice: ID
//	Safemode-Signature: t=SECONDS,v1=HEX
//
// SECONDS is when it was sent, since 1970. HEX is the HMAC-SHA256 of SECONDS, a full stop
// and the body, under the bytes of the key file without spaces around them. A receiver
// compares the signature, refuses a notice that is minutes old, and drops an id that it has seen.
// Any 2xx takes the notice. Anything else, a redirect too, is tried again: after 2 s, then
// twice as long each time, up to 5 min.
//
// # What it refuses
//
// A notice holds no id of a device or a home, no name of a person, and nothing that people
// wrote. Sequences of digits and hexadecimal digits that could be such an id are replaced.
// A slow peer never delays the sweep: the sweep does not wait for notices, and each try has a
// limit of 15 s.
package notice
