// Package listen bounds the connections to an address of the engine. A peer that can merely
// connect cannot keep others out, and cannot use up the file descriptors that the journal and
// the counters' custody need.
//
// There are two pools of connections. The first has those on which nobody has been
// authenticated yet: no TLS handshake succeeded, or no request came. If it is full, the
// address with most connections in it loses its oldest one, and the new connection gets the
// place. The second pool has the connections of authenticated peers ([Admit]). Strangers never
// get into it, so they cannot use up what the others need.
//
// Both pools together never hold more than their share of the descriptors that the system
// allows the process ([Spare]). A connection over a limit is closed at once and holds no
// descriptor. Connections that are not accepted yet wait in the system's own queue.
//
// It does not know what is said on a connection.
package listen
