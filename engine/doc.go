// Package engine carries a frozen plan out against the DCC. It is the facade: it
// wires journal, counter custody, signing gate, gateway, inbox, operations
// address and sweep together, in the one order that is safe, and takes them apart
// again.
//
// What it refuses: a plan other than the one the journal was begun with, another
// environment, test keys in environment live, keys that are not of a test PKI in
// environment simulator.
package engine
