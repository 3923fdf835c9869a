// Package proof decides what of the DCC's messages may be believed. It verifies
// the replies that the gateway gets and the messages that the inbox gets.
//
// It reads data only from bytes that a configured key of the DCC has signed. It
// reads a device's answer only after the device's own signature or MAC has been
// checked as well: the DCC cannot speak for a meter. It keeps nothing and asks
// only for devices' keys. It does not know which requests are open: a proven
// answer need not have been asked for.
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
// present must be valid, also where it is optional. What neither a signature nor
// the channel proves affects waiting and retries only.
//
// A certificate is chosen by issuer and serial from those configured, never
// taken from the message. One that is revoked proves nothing. Validity in time
// and revocation are checked by whoever configures the certificates.
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
// A device's proof has failed only if it fails under all keys in use, which were asked for
// after the message came. So old keys in the cache never cost a message.
//
// A message of a SMETS1 Service Provider is read to the last element, and its signature is
// checked if a key of the provider is configured. The error says what was found. It is the
// provider's word and no meter's: there is no MAC and no device's signature, and the sweep
// asks SMETS1 meters for nothing. So it is always other traffic.
//
// Every error is an *Error. Its FromDCC says whether the DCC has signed the message. Only
// such a message may ever stop a sweep, because any stranger can send the others.
package proof
