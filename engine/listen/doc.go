// Package listen bounds the connections to an address of the engine, so that nobody who
// can merely connect keeps others out, or takes the file descriptors that the journal and
// the counters' custody need.
//
// Connections are bounded in two pools. In one are those on which nobody has been
// authenticated yet: no TLS handshake that ended well, or no request. When it is full the
// address that holds most of it loses its oldest connection to the newcomer. In the other
// are those that have shown who they are ([Admit]). Strangers never get into it, so they
// cannot use up what the others need.
//
// The pools together never hold more than their share of what the system lets the process
// open ([Spare]). What is over a limit is closed at once: it holds no descriptor, and the
// system's own queue keeps whoever has not been accepted yet.
//
// It knows nothing of what is said on a connection.
package listen
