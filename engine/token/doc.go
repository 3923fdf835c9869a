// Package token signs and agrees with private keys that stay in a PKCS#11 token: an HSM, an HSM
// in a cloud, or SoftHSM.
//
// It owns the module, its sessions and the login. It refuses to show a key, to overwrite one,
// and to use one that does not belong to its certificate: it verifies each signature with the
// certificate's public key before it returns it, and it proves each agreement with
// a throwaway key when it finds the key. None of that needs a secret.
//
// One goroutine at a time uses a session: two on one session end the whole process with
// a SIGSEGV. A call that does not return keeps its session, and its caller goes on after the
// timeout. Lost sessions, logins, handles and tokens are opened, logged in to and found again.
// A busy token is tried again within [Options].Timeout. After that the call fails with
// an [Error]: [errUnavailable] if trying later can help, else [ErrRefused].
//
// An agreement is at one of three levels. secret: the module gives the shared secret
// (CKD_NULL), and the KDF runs here. kdf: the module derives the message's AES key inside,
// by the one-step KDF of NIST SP 800-56A; each vendor chooses the number of this mechanism. none:
// it can do neither, and no MAC can be made or checked. CKD_SHA256_KDF is not that KDF: it is
// ANSI X9.63.
//
// Files that call the module need cgo; the others read PINs and key files. Only the signer's
// own binary imports this package.
package token
