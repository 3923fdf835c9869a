// Package fault owns what goes wrong in a simulation: how often, decided by
// whom, and how a profile of it is written. It acts on nothing itself; the
// simulated DCC asks whether a fault happens and does the rest.
//
// Every decision is a function of the seed, the device, the service, the
// number of the attempt of that service on that device and the kind of fault.
// Neither the order in which requests arrive nor an originator counter plays a
// part, so that two runs with one seed agree for every meter.
//
// # Profile file
//
// YAML; all keys are optional, an unknown key or a value out of range is an
// error with its path, and what is not given is as in the profile calm. Shares
// are 0 to 1.
//
//	name: my-night
//	no_answer: 0.05            # the command does not reach the device
//	lost_response: 0.02        # carried out, the Response is lost on the way
//	lost_acknowledgement: 0.01 # accepted, the connection drops before the answer
//	duplicate_response: 0.01   # the Response is delivered twice
//	hardware_failure: 0.005    # the device answers that it failed
//	partial_ecs02: 0.005       # a 1.6 to an ESME is answered as partly done
//	failed_but_applied: 0.5    # of the last two: took effect all the same
//	switch_failure: 0.01       # a consumer presses, the switch does not move
//	uncontrolled_flow: 0.01    # a consumer presses, gas flows unburnt
//	delayed_response: 0.05     # the Response comes late, by delay
//	delay: 90s
//	latency: {median: 3s, tail: 25s}
//	outage: {region: North, after: 5m, lasts: 1h} # no device of the region is reached
//	lies: {enable: 0.02, attempts: 1}  # what the DCC says is not so; see below
//
// # Lies
//
// A lying DCC is whole but for what it says. Each lie has a share; of those that
// happen on one attempt the first below is told. lies.attempts keeps them to so
// many first attempts of a service on a device (0: no bound), so that a test can
// show what follows a lie. A request and its repetitions are one attempt.
//
// In a reply of Transform, a well-signed Pre-Command that was not asked for:
//
//	enable            7.1 (ECS42, for a gas meter as well)
//	disable           7.2
//	prepayment        1.6 to Prepayment, at once
//	future_dated      1.6 to Credit a day ahead, for a 1.6 that was immediate
//	cancelling        1.6 to Credit that withdraws a stored one, likewise
//	other_meter       what was asked for, for another meter of the same kind
//	other_counter     what was asked for, under the next counter
//	other_originator  what was asked for, from another supplier
//	extra_bytes       what was asked for, and one null byte more than may follow
//
// In a synchronous reply:
//
//	unsigned_reply  a reply with data, without its Signature
//	forged_reply    a reply with data, signed by no key of the DCC under its name
//	html            HTTP 200 with a page; what was asked is done all the same. Of a
//	                critical request it befalls the Transform.
//
// In a delivery, in place of a device's good Response:
//
//	unsigned_response  the same without the Signature of the DCC
//	no_payload         I0, signed, and no payload
//	bad_proof          the device's signature or MAC is wrong, the DCC's is good
//	other_device       another device's genuine answer to a 7.4 under the same counter
//	unknown_request    the device's own genuine answer to a 7.4 that nobody asked for
//	replayed           the device's previous answer to the same service, in a new
//	                   envelope (a first answer is left as it is)
//	reordered          it comes after the meter's next Response, or 5 minutes late
//
// And late_acknowledgement: the acknowledgement is kept back until the Response
// has gone to the inbox, for 5 s of real time at most. Responses that are
// doubled or overdue are duplicate_response and delayed_response with delay.
package fault
