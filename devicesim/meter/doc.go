// Package meter owns what simulated meters do: the state machine of ESME and
// GSME, and the device layer around it, which takes Commands as bytes and
// answers with Responses as bytes.
//
// The state machine is functions on [fleet.Meter]: they take the time as an
// argument, lock nothing and remember nothing else. What public sources leave
// open is a switch in [Behaviour]; its zero value holds the defaults.
//
// # State machine
//
// The letters are used by comments and tests. Alerts and 2.5's rule of success
// are GBCS's; guards and effects are read off makers' manuals and a public
// meter emulator, or assumptions.
//
//	E1   balance below the emergency credit threshold   emergency credit Available, 8119
//	E2   combined credit falls below low credit         810D
//	E3   credit exhausted                               Disabled, 8F0F; 81AA if emergency credit ran out
//	E4   the same in a non-disablement period           stays on, 8F83; E3 when the period ends
//	E5   2.5, emergency credit Available                Active, 81AB
//	E6   2.5, and Disabled for lack of credit           as E5, and Armed, 8168
//	E7   2.5, emergency credit Active                   success, no change
//	E8   2.5 otherwise                                  failure, no change
//	E9   1.6 Credit                                     Credit; registers stay
//	E10  1.6 Credit, Disabled for lack of credit        Q1
//	E11  7.3, Disabled                                  Armed, 8F32; Q3 while credit is exhausted
//	E12  7.3, Enabled or Armed                          Q2
//	E13  consumer's press, Armed, credit mode or credit Enabled
//	E14  top-up, Disabled, above the threshold          Armed
//	E15  7.1, ESME (forbidden)                          Enabled
//	E16  1.6 Prepayment (forbidden)                     E3 and E4 hold again
//	E17  load limit                                     not simulated
//	E18  the switch fails                               no change, 81BD
//	G1   press on a GSME, gas flows unburnt             stays Armed, 81BF
//	G2   a GSME has a balance for each mode
//
// # Time
//
// [Life] is what happens by itself: E1 to E4 as energy is used, E5, E6, E13 and
// E14 by consumers. A meter's condition holds for an instant, and [Life.Pass]
// brings it to a later one: it goes from one event to the next, each found by
// arithmetic, so that a meter costs nothing in between and it does not matter how
// often it is looked at. Energy is used at a constant rate of the home's own.
//
// # Device layer
//
// It refuses what a meter refuses: a MAC or a signature that does not verify,
// another target, a supplier that the meter does not trust, and a critical
// command whose originator counter is not above all before it. It then does
// nothing and answers nothing, but raises an alert (assumption).
//
// Forbidden commands (7.1, 7.2, 1.6 to Prepayment) are carried out as a meter
// would, and marked in the reply: that one arrived at all is the finding.
//
// A future-dated 1.6 is answered as accepted, kept, and carried out when its time
// has come on the device's clock; an 8F66 or 8F67 for each of its parts tells what
// became of it. A device keeps one: another takes its place, a cancelling one
// removes it, and so does an immediate 1.6 (assumption; [Behaviour]).
//
// Simplifications, all simulator choices: a switch to Prepayment leaves thresholds
// and debt settings as the model has them; of time-based charges there is the
// standing charge alone. Events that a meter only logs (8154, 8155, 8161, 8162)
// are not alerts here.
package meter
