// Package notice tells people who do not watch that they are needed: by a webhook, by
// mail. It takes the causes and the words from the status as package advice has judged it,
// and says each cause once.
//
// # What is one cause
//
// A cause is a kind, what it is about, and since when ([record.Cause]). It is said when a
// status first has it. It is over when a status lacks it: at once for a halt and for what
// has an instant of its own, after five minutes without it for what comes and goes, like a
// circuit. What comes again after that is said again.
//
// # What is durable
//
// Causes and unsaid notices are in one file beside the journal. A notice is durable there
// before anybody is told, and is taken out when every channel has taken it. A kill between
// the two has it told twice, with the same id. Where the file cannot be written, as with a
// full disk, people are told all the same.
//
// While a channel takes nothing, its notices wait in order. Of those that wait, a newer
// one with the same kind and scope is not added: the older one then says how often it came.
// So what waits is bounded by the kinds of causes.
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
// compares the signature, refuses what is minutes old, and drops an id that it has seen.
// Any 2xx takes the notice. Anything else, a redirect too, is tried again: after 2 s, then
// twice as long each time, up to 5 min.
//
// # What it refuses
//
// A notice holds no id of a device or a home, no name of a person, and nothing that people
// wrote. Runs of digits and hexadecimal digits that could be such an id are replaced. A
// peer never delays the sweep: nothing here is called by the core, and each try has a limit
// of 15 s.
package notice
