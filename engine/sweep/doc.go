// Package sweep carries a frozen plan out: it decides, per meter, what to ask next, plans
// the requests within the limits, and turns every outcome into evidence and, in the end,
// into one verdict per meter.
//
// # A machine without I/O
//
// [Machine.Step] takes what has happened ([Event]) and the time, and returns what is to be
// done ([Action]), in order. The machine reads no clock, disk or network and starts no
// goroutine. The same steps give the same actions. Package runner drives it in real time;
// the walk in this package's tests drives the same code in virtual time.
//
// # Who does what
//
//   - A worker runs one half of one request: it signs, commits, and goes to the door
//     (package exchange). What became of the half comes back as [Done].
//   - The inbox stores a message before anybody judges it. A proven one comes as [Heard].
//     Whatever comes of it, a record marks it by its number; until then each start hears it
//     again.
//   - A person's [Order] is journalled and applied in the step that takes it in.
//   - Counters are reserved beside the machine and come as [Reserved].
//
// # What decides
//
// The ledger of each meter (package ledger) decides what to ask, and is a replay of the
// journal's records. So a sweep that goes on after a stop is in the state it was in.
//
// A request has one phase and moves by one function, request.go's move. What is in which
// queue, behind which hub and counted in flight follows from the phase. An event that
// cannot come in a phase is a defect: the sweep halts and names both.
//
// # Whose turn it is
//
// Meters of one fleet share the DCC's limits, so a meter's turn comes by stages
// ([ledger.Stage]; intake.go). First all are seen, in the plan's order: their supply states
// are read. Then all are weighed: their balances are read. Then they are given commands, by
// risk ([ledger.Risk]): homes that are dark, homes that soon will be, those that could not
// be read, the rest by priority and credit. What is in a greater need goes first, at each
// stage.
//
// Waves bound commands, not reads (wave.go). The first wave goes the whole way at once: the
// others learn from it. The next opens when a share of the meters is settled, the soak is
// over and the abort rules hold; electricity does not wait for gas. A home that is dark, or
// will be within [ledger.Policy.ActWithin], does not wait for its wave, and no wave waits
// for it. Such homes are capped by the size of the wave that opens next: so no more meters
// are ever given commands than the open waves and one more have.
//
// # What holds when bytes leave
//
// The machine plans with a [Pacer] of its own, so that nothing is signed long before it may
// leave. What binds is asked at the socket. When a home is excluded, a scope is paused or
// stopped, or the sweep halts, the machine recalls the halves that workers have ([Recall]).
//
// A halt is a record in the step in which it becomes true.
//
// # What it holds of a million meters
//
// A meter that waits for nothing but time sleeps: its ledger is packed, and what must be
// known of it at once stands in its head (store.go). Now and then [Machine.Keep] makes what
// follows from the records into rows (state.go). A start takes them up and folds the
// records since. The rows hold nothing of their own: a start without them comes to the same.
//
// # What it reads again
//
// Homes change after their verdict: a consumer presses the button, somebody switches a
// meter back. So the reads that a verdict rests on are made again: of every meter that is
// armed when they are [ledger.Policy.RereadArmedAfter] old, and of a share of those on
// supply when they are [ledger.Policy.RereadAfter] old. When a switch is confirmed the balance is read once more
// ([ledger.Policy.BalanceAfter]). Such requests go when nothing else waits, and the verdict
// stands while they are open. A home that is found worse is told at once, by a verdict in
// the journal, a warning and a count. No run waits for the next day or hour: when the last
// home has its verdict, reads that were not due as the run began are given up.
//
// # What it refuses
//
// A second critical command to a meter while one is open. A signature for a request that
// was signed before: a lost reply is answered by the same bytes, an unknown outcome by a
// read. Arming without the proof that package ledger wants.
package sweep
