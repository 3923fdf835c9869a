// Package devicesim is a simulated DCC with its meters, as a server: it answers a User as
// the real DCC would.
//
// It connects the parts: the DCC's services (package dcc), the SMKI service
// (smkiservice), communications hubs (hub), meters (fleet, meter, devicepki),
// faults (fault), the delivery to the User's inbox (delivery) and the control API.
// An engine under test talks to it over HTTP only; the methods of
// [Simulator] are for judging afterwards.
//
// It refuses keys that are not of a test PKI, so that no production key ever
// meets it, and it never imports the engine.
//
// # Control API
//
// On an address of its own, which must be loopback. JSON unless said otherwise.
//
//	GET  /sim/v1/devices/{eui}         a meter's state; 404 if there is none
//	POST /sim/v1/devices/{eui}/press   the consumer presses the button; {"enabled": bool}
//	GET  /sim/v1/summary               [Summary]
//	POST /sim/v1/faults                a profile file in YAML, or with ?profile=NAME one
//	                                   of the ready ones; it holds from now on; 204
//	GET  /sim/v1/quarantine            what anomaly detection has quarantined, a list of
//	                                   {quarantine_event_ref, request_id, srv, since}
//	POST /sim/v1/quarantine/{ref}/release  sends it on; 204, or 404 if nothing has this reference
//	POST /sim/v1/quarantine/{ref}/delete   drops it; likewise
//	GET  /metrics                      Prometheus
//
// # What engine and simulator assume alike
//
// The same people wrote both, so no rehearsal shows a mistake about the DCC that both share.
// Outside judges check most of the wire formats: the DCC's test data and schemas, its
// signing tool and libraries (benchmarks/boxed), xmlsec1, xmllint, openssl. The table has the
// assumptions that none of them judges, how a real DCC could show each, and the setting that
// makes the simulator do otherwise, if there is one. "probe" is safemode preflight --probe.
//
//	the assumption                            shown by                    switch
//	a delivery is answered 204; after 4xx     two deliveries to an inbox  none
//	it is not sent again, after 5xx it is     of UIT that refuses them
//	answers come twice and in any order       the same                    duplicate_response,
//	                                                                      reordered_response, answer_first
//	ResponseDateTime is when it was sent      a gas meter's answer        dcc.stamped_at
//	a hub holds for 24 h, E20 comes after     a hub that is off           dcc.windows
//	10 min, E21 of electricity after 2
//	a gas meter takes one message a wake,     three reads of a gas meter  hubs.per_wake, hubs.order
//	in no certain order
//	the allocation is a rate, over it 503     the DCC's word              dcc.allocation
//	with Retry-After
//	a threshold is per SRV and period, over   the DCC's word              dcc.anomaly_thresholds
//	it AD1 and a wait for the User
//	a home that leaves: E4 from its day on,   a home that leaves, and its dcc.switching_days
//	a DCC Alert N27 ChangeOfSupplier, and the alert
//	new supplier's credentials at once
//	revoked certificates: E3                  the DCC's word              dcc.certificates.code
//	a malformed or unsigned request: HTTP     probe                       none
//	4xx, or E48
//	E49 for a second use of a Request ID,     a request sent twice in     none
//	the same bytes get the same answer        UIT
//	E100 for a Pre-Command that is another    UIT                         none
//	E080201 for an inventory without result   8.2 of a stranger in UIT    none
//	the SMKI service: serials are 32 upper-   preflight with a plan       variety.decimal_serials
//	case digits, status I is in use, 402 is   (one device), probe (the
//	none                                      organisations)
//	two certificates of a device are in use   a device in mid-change      variety.twin_certificates,
//	while its keys change                                                 dcc.rotation
//	XML is written compactly or as recorded   any answer                  variety.written
//	answers have it, never otherwise
//	8.2 is answered at once, signed, with     probe with a plan (one      none
//	all devices of the home                   device)
//	a SMETS1 Service Provider signs its       a message of one, with its  none
//	message as a document of its own          key configured
//	other traffic is of the kinds that the    a night at a real inbox     variety.other_traffic
//	test data have, under other counters
//	the inventory keeps Decommissioned        8.2 of a home with an       variety.exchanged_devices,
//	predecessors, and names swapped hubs      exchanged meter             variety.swapped_hubs
//	a meter takes only counters above the     UIT, on a test meter        high_counter
//	last critical one, of any service
//	2.5 of no available credit fails; 7.3     UIT, on test meters of      meter.Behaviour
//	is refused while Enabled; what 1.6 does   each model
//	to a meter that is off
//	alerts: 8F0F is lack of credit, 8F83      UIT                         below_in_suspension
//	suspension, 8F3D and 8F53 a refusal
//	codes that are not in the table are       the DCC's list of codes     none
//	held for a person
//	the DCC's clock is within 30 s of ours    preflight                   dcc.clock_skew, clock_skew
package devicesim
