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
package fault
