// Package forbidden encodes the Pre-Commands that a safe-mode engine must never
// sign: Enable Supply (7.1), Disable Supply (7.2), Update Payment Mode to
// Prepayment (1.6), and Update Payment Mode to Credit that is future-dated or
// cancels. A DCC transforms them for whoever asks, and a lying DCC hands them
// out unasked, so the simulator needs them. Nothing outside devicesim may
// import this package.
//
// It signs nothing, and it refuses the permitted set: that is built by gbcs.
//
// # Payloads
//
// cccccc is the low three bytes of the originator counter; tttttttt the issuer
// event id, the DCC's clock in seconds since 2000, little-endian. Hexadecimal.
//
//	ECS42 7.1  D9 20cccccc 00 01 03 0009 00000A006AFF 01 01 12 0033
//	ECS43 7.2  the same with 0034
//	GCS32 7.2  0109 01 01 0702 0015 01 00 0B 00000000 tttttttt 00000000 00000000 00 01
//	GCS02 1.6  0109 01 01 0705 0015 01 00 06 00000000 tttttttt iiiiiiii 940C FFFFFFFF
//	GCS03 1.6  the same with the payment control and the disablement threshold
//	ECS02 1.6  D9 20cccccc 00 03, three sets, 03, three data
//	ECS03 1.6  D9 20cccccc 00 05, five sets, 05, five data
//
// iiiiiiii is the implementation time: 00000000 now, FFFFFFFF cancels, else
// seconds since 2000. Electricity has a DLMS date-time in its place: all zero
// now, all FF cancels (deviation 8000 in both).
//
// Sources: the DCC's Reference Test Data Set 4.5.0. Three of the four settings
// of the ESME's debt flags and the single element form are in it; the fourth
// follows from the rule that the others obey.
package forbidden
