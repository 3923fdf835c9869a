// Package token signs and agrees with private keys that stay in a PKCS#11 token: an HSM,
// a cloud's, or SoftHSM.
//
// It owns the module, its sessions and the login. It refuses to show a key, to overwrite
// one, and to use one that is not its certificate's: each signature is verified with the
// certificate's public key before it is returned, and each agreement is proven against a
// throwaway key when the key is found. None of that needs a secret.
//
// A session is always used by one goroutine at a time, because two on one session end the
// whole process with a SIGSEGV. A call that does not return keeps its session, and its caller
// goes on after the timeout. Lost sessions, logins, handles and tokens are opened, logged in
// to and found again; a busy token is tried again within [Options].Timeout. What then fails
// is an [Error]: [errUnavailable] if trying later can help, else [ErrRefused].
//
// An agreement is at one of three levels. secret: the module gives the shared secret
// (CKD_NULL), and the KDF runs here. kdf: the module derives the message's AES key inside,
// by the one-step KDF of NIST SP 800-56A, whose number each vendor chooses. none: it can do
// neither, and no MAC can be made or checked. CKD_SHA256_KDF is not that KDF: it is ANSI
// X9.63.
//
// Files that call the module need cgo; the others read PINs and key files. Only the signer's
// own binary imports this package.
package token
