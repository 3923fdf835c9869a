// Package fault decides what goes wrong in a simulation, and how often, and reads the profiles
// that say so. It only decides: the simulated DCC asks whether a fault happens, and carries
// it out.
//
// Every decision is a function of the seed, the device, the service, the
// number of the attempt of that service on that device and the kind of fault.
// Neither the order in which requests arrive nor an originator counter plays a
// part, so that two runs with one seed agree for every meter.
//
// # Profile file
//
// A profile is a YAML file. All keys are optional. An unknown key or a value out of range is
// an error with its path. A key that is absent has its value in the profile calm. Shares
// are 0 to 1. The figures of the ready profiles are assumptions.
//
// Names with commas between them make one profile of several files. Of an effect on the whole
// fleet the greatest value counts, the groups of all files count, and of any other key the
// last file that gives it.
//
//	name: my-night
//	unreachable: 0.05          # of the hubs: the DCC never finds a way to them
//	suspended: 0.01            # of the devices: their status in the inventory is Suspended
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
//	reordered_response: 0.01   # the Response comes after the meter's next, or 5 minutes late
//	duty_cycle_discard: 0.01   # a dual band hub drops the command, and a DCC Alert says so
//	lost_alert: 0.02           # what a device raises does not come
//	duplicate_alert: 0.02      # it comes twice
//	below_in_suspension: 0.3   # of the devices: credit that runs out while disablement is
//	                           # suspended raises 8F0F beside 8F83, and what then goes off nothing
//	untold_e20: 0.1            # of what is not reached: the DCC never says so
//	untold_e21: 0.1            # of what is not answered, likewise
//	high_counter: 0.02         # of the devices: they have accepted an originator counter that is
//	counter_lead: 6h           # so far above the clock's milliseconds as the simulator starts
//	latency: {median: 3s, tail: 25s} # of electricity; or {class: on_demand}, which is
//	                           # this; two_hours: 15m, 2h; a_day: 3h, 22h
//	clock_skew: 2m             # how far the devices' clocks are ahead; -2m: behind
//	flapping: {up: 20m, down: 4m} # hubs come and go, each in a phase of its own
//	outage: {region: North, after: 5m, lasts: 1h} # no device of the region is reached
//	lies: {enable: 0.02, attempts: 1}  # what the DCC says is not so; see below
//	answer_first: 0.01         # of electricity: the acknowledgement comes after the Response
//	late_response: 0.003       # the Response comes late by one hour to six
//	other_models: 0.1          # of the meters: other thresholds and debt settings, see
//	                           # fleet.Options; heeded where the fleet is grown, not later
//	hubs:                      # nothing promises how they serve what waits (assumption)
//	  order: random            # of what waits for one device: fifo, lifo or random
//	  per_wake: 1              # messages that a gas meter takes in one wake, 1 to 8; 0: all
//
// # Variety
//
// A real DCC varies these things, and none of them changes a meaning. A little of each is in
// every profile; the figures here are those where a file says nothing.
//
//	variety:
//	  decimal_serials: 0.05    # of the devices: the SMKI service writes serials in decimal
//	  twin_certificates: 0.05  # of the devices: two certificates of each key
//	  written: 0.1             # of the messages: an XML declaration, a byte order mark, unused
//	                           # namespaces or a folded SignatureValue, in any mixture
//	  swapped_hubs: 0.02       # of the homes: the inventory names another hub
//	  exchanged_devices: 0.02  # of the meters: the inventory has a predecessor as well
//	  other_traffic: 0.2       # messages a day for each meter that answer nothing: of other
//	                           # use cases, of schedules, of SMETS1, alerts of devices and of the DCC
//
// # Groups
//
// The keys above apply to the whole fleet. A group adds to them for some meters; of
// the values that apply to one meter the greatest counts. A list that is absent matches all;
// share is of the hubs with meters that match the lists.
//
//	groups:
//	  - regions: [North, 4G North]
//	    hubs: [00-DB-12-C0-11-D3-F1-8E]
//	    models: [sim-e10]
//	    device_types: [ESME]
//	    share: 0.1
//	    no_answer: 0.2           # and any other key from unreachable to flapping
//	    outage: {after: 10m, lasts: 2h}
//
// # The DCC's own rules
//
// Times count from the moment when the profile began to apply.
//
//	dcc:
//	  # Requests of each User; beyond them HTTP 503 with Retry-After (assumption).
//	  allocation: {per_second: 20, burst: 40}
//	  # Requests of a User for an SRV in a period, which begins with the first of
//	  # them; the rest is acknowledged and quarantined, and DCC Alert AD1 says so.
//	  anomaly_thresholds:
//	    "1.6": {limit: 500, per: 24h}
//	  windows: {unreachable: 10m, no_answer: 2m, hub_holds: 24h} # till E20 and E21 (assumption)
//	  clock_skew: 2m             # how far its clock is ahead in what it stamps: responses,
//	                             # alerts, gas Pre-Commands; -2m: behind
//	  stamped_at: execution      # the time of a device's answer; or delivery (assumption)
//	  # Registrations that say no for a while (E4) and then yes again.
//	  registration_flaps: {share: 0.01, up: 50m, down: 10m}
//	  # The failed supplier's market participant ids move: E4 for all its meters.
//	  registration: {moves_after: 20m, to: 90-B3-D5-1F-30-03-00-00}
//	  # Single meters go, so many a day of those there were at first: E4 for each.
//	  change_of_supplier: {share_per_day: 0.01}
//	  # Homes leave on days, each with all its meters and new credentials on them: E4, and
//	  # a DCC Alert unless they are untold. The list of transfers names them with their
//	  # days, unless they are unlisted. Those that flap are away, back, and away for good.
//	  switching_days:
//	    share: 0.2               # of the homes, over all days together
//	    days: 10
//	    begun: 71h               # before the profile began to hold
//	    unlisted: 0.2            # of those that leave, as the next two
//	    untold: 0.3
//	    flapping: 0.1
//	    away: 20m                # of those that flap
//	    back: 40m
//	  # The failed supplier's certificates are revoked (assumption: the code; E1, E3 or E48).
//	  certificates: {revoked_after: 2h, code: E3}
//	  # Keys are replaced: of so many devices, and the one that signs what carries no
//	  # Pre-Command, by that of dcc/renewed in the PKI folder. The SMKI service has the
//	  # old certificates and the new ones.
//	  rotation: {devices: 0.5, after: 1h, dcc_after: 2h}
//
// # Lies
//
// A lying DCC does what it should, and says something else. Each lie has a share. If several
// happen on one attempt, the first below is told. lies.attempts limits them to so
// many first attempts of a service on a device (0: no limit), so that a test can
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
//	html            HTTP 200 with a page; the request is carried out all the same. Of a
//	                critical request it is the reply of Transform.
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
// And late_acknowledgement: the acknowledgement waits until the Response
// has gone to the inbox, for 5 s of real time at most. Doubled and late Responses have keys
// of their own: duplicate_response, and delayed_response with delay.
package fault
