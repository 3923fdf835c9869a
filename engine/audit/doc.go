// Package audit proves or disproves, from a sweep's journal and what is given
// beside it, the two promises that everything else rests on: that no originator
// counter was used for two different messages, and that nothing went out that
// the journal did not know before and the direction does not cover. It is offline: it
// asks nobody, needs no key and changes nothing. It refuses to guess: what it
// cannot read it calls unproven.
//
// # Claims
//
// Each claim has a denominator: how many of what it was held against.
//
//	file                the file's pages (SQLite's integrity check)
//	chain               records; each column of each is under the hash chain
//	tip                 the table tip, which holds nothing of its own and is
//	                    worked out again from the last record
//	state               rows of the table state: they are the ones that the last record
//	                    of that kind vouches for, by hash; the table's index is under the
//	                    file's check
//	plan                one plan, whole, and every start repeats its identity
//	plan_approved       targets and rejected rows: those of the plan whose hash and header
//	                    the approvals of every start name
//	starts_approved     starts: each was approved by two who were on the roster then, which
//	                    it carries, or given ahead by two before it, and no halt since. It
//	                    is the function that decided then that decides again
//	journalled_first    replies, Pre-Commands, responses and outcomes: each after
//	                    the record of the request that it belongs to
//	signed_bytes        signed bodies: each carries the XML signature of exactly these
//	                    bytes (the digest is worked out again; whose key signed is
//	                    not asked), and is what the record's columns say of it, down
//	                    to the GBCS message inside
//	within_direction    signed bodies: SRV, device type, target and originator are
//	                    in the plan and its direction, the time is in its window
//	arm_on_evidence     signed 7.3: a read of the same meter said Disabled before
//	counters_once       signed messages, those of all backups given as well: no
//	                    counter stands for two of them
//	counters_rise       signed commands: over the one before, for each device
//	backups             backups given: each a beginning of this journal
//	custody             custody files given: this journal's, as far as it had come,
//	                    and no counter over their high-water mark was used
//
//	checkpoints         signed notes given: each of this journal, of a record that it
//	                    has, with the hash that the chain has there
//	signer              signatures of a signer's log given: each is in the journal, and each
//	                    of the journal is in the log; those of the moment when a sweep was
//	                    cut off are counted apart
//
// Where the chain breaks, the claims are held against the records before the
// break: those are still proven, those after are not.
//
// Responses that answer no request of the journal are counted and are no fault:
// the supplier's other traffic comes to the same inbox. One whose request
// was journalled after it is, in journals whose messages were proven before they were
// written. Where messages are written as they come and judged afterwards, whoever sends
// one may claim to answer a request that is yet to come. There it is a fault only if an
// outcome rests on it. An outcome that gives the number of a message must rest on a
// response to its own request, of an earlier record, and no two may rest on the same one.
package audit
