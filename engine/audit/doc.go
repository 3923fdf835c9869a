// Package audit proves or disproves the two promises that everything else rests on: that no
// originator counter was used for two different messages, and that nothing was sent that the
// journal did not have before and that the direction does not cover. It reads a sweep's
// journal, and what is given with it. It is offline: it asks nobody, needs no key and changes
// nothing. It does not guess: it calls unproven what it cannot read.
//
// # Claims
//
// Each claim has a denominator: how many things it was checked for.
//
//	file                the file's pages (SQLite's integrity check)
//	chain               records; each column of each is under the hash chain
//	tip                 the table tip: it must be what follows from the last record
//	state               rows of the table state: they must have the hashes that the last
//	                    record of kind state gives; the table's index is under the file's
//	                    check
//	plan                one plan, whole, and every start repeats its identity
//	plan_approved       targets and rejected rows: those of the plan whose hash and header
//	                    the approvals of every start name
//	starts_approved     starts: each carries the approvals of two people who were on the
//	                    roster then; or two gave them ahead, for a start before it, and no
//	                    halt followed. The same function decides as at the start
//	journalled_first    replies, Pre-Commands, responses and outcomes: each after
//	                    the record of the request that it belongs to
//	signed_bytes        signed bodies: each has an XML signature of exactly these bytes, and
//	                    is what the record's columns say of it, down to the GBCS message
//	                    inside. The digest is computed again; which key signed is not checked
//	within_direction    signed bodies: SRV, device type, target and originator are
//	                    in the plan and its direction, the time is in its window
//	arm_on_evidence     signed 7.3: a read of the same meter said Disabled before
//	counters_once       signed messages, with those of all backups given: no two have the
//	                    same counter
//	counters_rise       signed commands: each above the one before, for each device
//	backups             backups given: each is a beginning of this journal
//	custody             custody files given: each is this journal's, as far as it had come,
//	                    and no counter over the high-water mark was used
//
//	checkpoints         signed notes given: each is of this journal, of a record that it
//	                    has, with the hash that the chain has there
//	signer              signatures of a signer's log given: each is in the journal, and each
//	                    of the journal is in the log; those of the moment when a sweep was
//	                    cut off are counted apart
//
// If the chain breaks, the claims are checked for the records before the break. Those are
// still proven, and the records after it are not.
//
// A response that answers no request of the journal is counted, and is no fault: the supplier's
// other traffic comes to the same inbox. Journals of older programs have only messages that
// were proven before they were written. In those, a response that was journalled before its
// request is a fault. Later programs write messages as they come and judge them afterwards.
// There, anybody who sends one may claim to answer a request that is made later; so it is
// a fault only if an outcome rests on it. An outcome that gives the number of a message must
// rest on a response to its own request, of an earlier record, and no two may rest on the same
// one.
package audit
