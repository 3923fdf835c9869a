// Package meter owns what simulated meters do: the state machine of ESME and
// GSME (domain.md 1.5 to 1.7), and the device layer around it, which takes
// Commands as bytes and answers with Responses as bytes.
//
// The state machine is functions on [fleet.Meter]: they take the time as an
// argument, lock nothing and remember nothing else. What public sources leave
// open is a switch in [Behaviour] whose zero value is the default of
// decisions.md 25.
//
// The device layer refuses what a meter refuses: a MAC or a signature that
// does not verify, another target, a supplier that the meter does not trust,
// and a critical command whose originator counter is not above all before it.
// It then does nothing and answers nothing, but raises an alert (assumption,
// gbcs.md section 7).
//
// Forbidden commands (7.1, 7.2, 1.6 to Prepayment) are carried out as a meter
// would, and marked in the reply: that one arrived at all is the finding.
//
// Simplifications, all simulator choices: a future-dated or cancelling 1.6 is
// answered as accepted and marked as forbidden, but never takes effect; a
// switch to Prepayment leaves thresholds and debt settings as the model has
// them; time-based charges are not collected; there is no load limit (E17).
// Events that a meter only logs (8154, 8155, 8161, 8162) are not alerts here.
package meter
