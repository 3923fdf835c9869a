// Package hub simulates the path from the DCC to a meter: the communications hubs, each of
// which carries one Command at a time, and the gas meters behind them. Gas meters sleep, and
// wake at an interval to fetch what waits for them.
//
// A hub serves its devices in the order of arrival. A setting gives the order of the Commands
// that wait for one device, because nothing promises that it is the order of arrival. Commands
// for a sleeping gas meter are passed over until it wakes. It then takes some of them, one by
// one, and sleeps again; how many is a setting, too. A Command that has waited for too long is
// dropped. A hub with nothing to do takes no memory.
//
// It does not read messages: an exchange is a function that the caller gives. The caller also
// decides that a meter never answers; it does not put such an exchange here.
package hub
