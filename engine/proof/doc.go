// Package proof decides what of the DCC's messages may be believed. It is the
// one verifier for the replies that the gateway gets and for what the inbox is
// given.
//
// It reads data only from the bytes that a pinned key of the DCC has signed, and
// a device's answer only after the device's own signature or MAC has been
// checked as well: the DCC cannot speak for a meter. It keeps nothing, asks only
// for devices' keys, and does not know which requests are open: that an answer
// is proven does not mean that it was asked for.
//
// # Who may say what
//
//	Pre-Command                    a Transform certificate
//	every other response, alerts   an XML-signing certificate of the DCC
//	device response, alert inside  critical: the device's signature
//	                               else: the MAC between device and originator
//	I99, E20, E21, E30 without     may be unsigned in a reply
//	other E codes without data     may be unsigned in a reply if the channel proves
//	                               the DCC (TLS), else an XML-signing certificate
//	E20, E21, E30 without data     may be unsigned in a delivery
//
// Transform and XML-signing may be the same certificate. A signature that is
// there must be good, also where it could have been left out. What neither a
// signature nor the channel proves steers waiting and retries and nothing else.
//
// A certificate is chosen by issuer and serial from those configured, never
// taken from the message. One that is revoked proves nothing. Their validity in
// time, and knowing which are revoked, are for whoever configures them.
//
// # What an error means
//
//	ErrInvalid         it is no DUIS or GBCS message, or not of a kind that comes this way
//	ErrUnverified      a proof is missing or fails, or parts do not belong together
//	ErrUnknownSigner   an ErrUnverified: signed under a certificate that is not configured.
//	                   From an authenticated peer it may be the DCC's new one: a person
//	                   has to configure that, and the message is tried again
//	ErrOther           the DCC has signed it, and it is none of the kinds that answer a request
//	                   of ours: another use case, an alert of another form, a SMETS1 message,
//	                   one for another of the User's identities, one of a later schema: Other
//	                   says which. What it carries is not proven
//	ErrUndecided       a device's keys could not be asked for, or the SMKI service says
//	                   that there are none, or our own key cannot be used: try again later
//
// A device's proof has failed only when it fails under all keys in use, asked for after
// the message was there: own stale knowledge never costs a message.
//
// What a SMETS1 Service Provider says is read to the last element, and its signature is
// checked where a key of its is configured: the reason says what came of either. It is the
// provider's word and no meter's, there is no MAC and no device's signature, and the sweep
// asks SMETS1 meters for nothing. So it stays other traffic whatever came of it.
//
// Every error is an *Error. Its FromDCC tells what the DCC has signed from what
// any stranger may have sent: only the former may ever stop a sweep, or a stranger
// could.
package proof
