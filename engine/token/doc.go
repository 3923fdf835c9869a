// Package token signs and agrees with private keys that stay in a PKCS#11 token: an HSM,
// a cloud's, or SoftHSM.
//
// It owns the module, its sessions and the login. It refuses to show a key, to overwrite
// one, and to use one that is not its certificate's: each signature is verified with the
// certificate's public key before it is returned, and each agreement is proven against a
// throwaway key when the key is found. None of that needs a secret.
//
// A session is used by one goroutine at a time, always: two on one session end the whole
// process in a SIGSEGV. A call that does not come back keeps its session, and its caller
// goes on when its time is up. What was lost (sessions, login, handles, a token that was
// taken out) is opened, logged in to and found again; what is busy is tried again within
// [Options].Timeout. What then remains is an [Error], which tells [ErrUnavailable], where
// trying later can help, from [ErrRefused], where it cannot.
//
// An agreement is at one of three levels. secret: the module gives the shared secret
// (CKD_NULL), and the KDF runs here. kdf: the module derives the message's AES key inside,
// by the one-step KDF of NIST SP 800-56A, whose number each vendor chooses. none: it can do
// neither, and no MAC can be made or checked. CKD_SHA256_KDF is not that KDF: it is ANSI
// X9.63.
//
// What needs the module needs cgo. Files without that tag read PINs and key files. Only
// the signer's own binary imports this package.
package token
