// Package direction is the authority to act: the record of what the Authority
// directed this Shared Resource Provider to do for one failed supplier, as a
// strict YAML file. config/direction.example.yaml is its manual.
//
// It answers one question: may this service be sent to this kind of device now.
// It can only narrow the permitted set of servicerequests, never widen it: a
// direction that names Enable Supply, Disable Supply or any other service
// outside the set is refused as a whole.
//
// It holds values only. Approvals, and whether the supplier's certificates and
// market participant IDs are still in force, are gates of their own.
package direction
