// Package devicesim is a simulated DCC with its meters behind it, as a server:
// what a User meets on the other end of the line, without a line.
//
// It owns the wiring: the DCC's services (package dcc), the SMKI service
// (smkiservice), communications hubs (hub), meters (fleet, meter, devicepki),
// faults (fault), the way to the User's inbox (delivery) and the control API.
// Whoever tests an engine talks to it over HTTP only; the methods of
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
//	GET  /sim/v1/quarantine            what anomaly detection holds back, a list of
//	                                   {quarantine_event_ref, request_id, srv, since}
//	POST /sim/v1/quarantine/{ref}/release  sends it on its way; 204, or 404 if nothing is held
//	POST /sim/v1/quarantine/{ref}/delete   drops it; likewise
//	GET  /metrics                      Prometheus
package devicesim
