// Package sweep carries out a frozen plan. It decides, per meter, what to ask next, plans the
// requests within the limits, turns every outcome into evidence, and in the end gives every
// meter one verdict.
//
// # A machine without I/O
//
// [Machine.Step] takes what has happened ([Event]) and the time, and returns what must be
// done ([Action]), in order. The machine reads no clock, disk or network and starts no
// goroutine. The same steps give the same actions. Package runner drives it in real time;
// the walk in this package's tests drives the same code in virtual time.
//
// # Who does what
//
//   - A worker runs one half of one request: it signs, commits, and sends (package exchange).
//     The result comes back as [Done].
//   - The inbox stores a message before anybody judges it. A proven one comes as [Heard]. A
//     record then marks it by its number. Until it is marked, each start judges it again.
//   - A person's [Order] is journalled and applied in the step that takes it in.
//   - Counters are reserved outside the machine and come as [Reserved].
//
// # What decides
//
// The ledger of each meter (package ledger) decides what to ask. A replay of the journal's
// records gives the same ledgers, so a sweep that goes on after a stop is in the state it was in.
//
// A request has one phase, and one function changes it: move in request.go. Its queue, its
// hub's queue and the count of requests in flight follow from the phase. An event that is
// impossible in a phase is a defect: the sweep halts and names both.
//
// # The order of meters
//
// Meters of one fleet share the DCC's limits, so each meter advances by stages
// ([ledger.Stage]; intake.go). In the first stage the supply states of all meters are read, in
// the plan's order. In the second their balances are read. In the third they get commands, by
// risk ([ledger.Risk]): homes that are dark, homes that soon will be, those that could not be
// read, the rest by priority and credit. In each stage meters in greater need go first.
//
// Waves bound commands, not reads (wave.go). The meters of the first wave go through all stages
// at once: the other waves learn from them. The next wave begins when a share of the meters is
// settled, the soak is over and the abort rules allow it; electricity does not wait for gas.
// A home that is dark, or will be within [ledger.Policy.ActWithin], does not wait for its
// wave, and no wave waits for it. The size of the wave that begins next is the limit for such
// homes: so the meters with commands are never more than the waves that have begun, and one
// more, contain.
//
// # What is checked when bytes leave
//
// The machine plans with a [Pacer] of its own, so that nothing is signed long before it may
// leave. The binding checks are made at the socket. When a home is excluded, a scope is paused
// or stopped, or the sweep halts, the machine recalls the halves that workers have ([Recall]).
//
// A halt is written as a record in the step in which it occurs.
//
// # What a million meters take
//
// A meter that waits for nothing but time sleeps: its ledger is packed, and its head (store.go)
// has what the machine needs at once. Now and then [Machine.Keep] writes rows with the state
// that follows from the records (state.go). A start reads the rows and replays the records
// since. The rows have no information of their own: a start without them gives the same state.
//
// # What it reads again
//
// Homes change after their verdict: a consumer presses the button, somebody switches a
// meter back. So the reads that a verdict rests on are made again: of every armed meter when
// they are [ledger.Policy.RereadArmedAfter] old, and of a share of the meters on supply when
// they are [ledger.Policy.RereadAfter] old. When a switch is confirmed the balance is read once
// more ([ledger.Policy.BalanceAfter]). Such requests go when nothing else waits, and the verdict
// stays while they are open. If a home is found worse, the sweep says so at once, by a verdict
// in the journal, a warning and a count. No run waits for the next day or hour: when the last
// home has its verdict, rereads that were not due when the run began are given up.
//
// # What it refuses
//
// It refuses a second critical command to a meter while one is open. It refuses to sign a
// request again: after a lost reply it sends the same bytes, after an unknown outcome it reads.
// It refuses to arm without the proof that package ledger requires.
package sweep
