// Package hub simulates the way from the DCC to a meter: the communications
// hubs, which carry one Command at a time each, and the gas meters behind
// them, which sleep and come by on their interval to ask what there is.
//
// A hub serves its devices in the order of arrival, and what waits for one device
// in an order that is a setting: nothing promises that it is the order of arrival.
// What is for a sleeping gas meter is passed over until the meter wakes; it then
// takes some of it, one by one, and sleeps again. How many it takes is a setting
// too. What has waited for too long is dropped. Hubs that have nothing to do take
// up no room.
//
// It knows no message: what an exchange does is a function. That a meter never
// answers is the caller's to decide; such an exchange is not put here.
package hub
