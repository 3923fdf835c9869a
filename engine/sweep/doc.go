// Package sweep carries a frozen plan out: it decides, per meter, what to ask
// next, dispatches the requests within the limits, and turns every outcome into
// evidence and, in the end, into one verdict per meter.
//
// # Who does what
//
// One goroutine, the dispatcher, owns every meter, the pacer and all counters
// of requests in flight. It never waits for the network or the disk. Workers
// (bounded pools) run one leg of one request each: sign, commit to the journal,
// POST, read the reply. The inbox hands over answers that are already proven
// and durable. What a worker or the inbox learnt comes back to the dispatcher
// as an event.
//
// # What decides
//
// [Policy.decide] is a pure function from a meter's ledger and the time to the
// next step: which services to ask for now, when to look again, or a verdict.
// The ledger is a fold over journal records, so a sweep that goes on after a
// stop is in the state it was in: recovery and normal running share the code.
//
// # What it holds of a million meters
//
// A meter that waits for nothing but time sleeps: its ledger is packed into some 25
// bytes before it begins and some 180 when it is done (roll.go, pack.go). Every half
// minute the sweep has the journal keep the packed ledgers that have changed, and what
// is not one meter's (state.go): the state. A start takes it up and folds the records
// since. The state holds nothing of its own: a start without one, or with one that does
// not hold or does not fit the settings, folds all records and comes to the same.
//
// # What it reads again
//
// A verdict is as of a read, and homes change: a consumer presses the button, somebody
// switches a meter back. So the reads that a verdict rests on are made again when they are
// [Policy.RereadAfter] old (a day): of every meter that is armed, and of a share of those
// on supply, drawn by seed (after.go). What is asked so goes when nothing else waits to be
// sent, and for as long as it is open the verdict stands. The verdict and its time follow
// the new read. A read that gets no answer changes neither, and is asked for again a day
// later; the DCC's word that the meter is another supplier's (E4) excludes it.
//
// A home that is found worse is told at once, by a verdict in the journal, a warning and
// a count (safemode_reread_meters_total). One that is in Prepayment again is switched
// again, as the plan has it. A supply that was read as on or armed in Credit and is off is
// not armed: lack of credit turns nothing off there, so it is a person's.
//
// No run waits for the next day. A sweep that lasts so long for other reasons reads again
// on the day; the command that is given again once it has ended does what was due when it
// began, and ends. That is a start like any other: it needs the gates open, and a resume
// that the approvals have left, or two new ones.
//
// # The balance after the switch
//
// Whoever takes a home over needs its balance before and after. When a read-back has
// confirmed the switch the balance is read once more ([Policy.BalanceAfter]), of the gas
// proxy as before: after the verdict, when nothing else waits to be sent, and the verdict
// stands whatever comes of it. The run waits for the answer, not for another try.
//
// # What it refuses
//
// Arm Supply (7.3) without proof of cause and a fresh read of Disabled. The cause is
// proven where a meter in Prepayment was read as off, or told so itself (8F0F), and its
// balance shows no credit.
//
// A second critical command to a meter while one is open; the words on_supply and
// armed without a read-back that is newer than the last command. A request that was
// signed is never signed again: a lost reply is answered by the same bytes, an
// unknown outcome by a read.
package sweep
