//go:build cgo

package token

import (
	"fmt"
	"path/filepath"

	"github.com/miekg/pkcs11"

	"safemode/servicerequests/safefile"
)

// module is what is asked of a PKCS#11 library. Each session is used by one goroutine at
// a time. Errors are of type [pkcs11.Error].
type module interface {
	Initialize() error
	Finalize() error
	GetInfo() (pkcs11.Info, error)
	GetSlotList(tokenPresent bool) ([]uint, error)
	GetTokenInfo(slot uint) (pkcs11.TokenInfo, error)
	GetMechanismList(slot uint) ([]*pkcs11.Mechanism, error)
	OpenSession(slot, flags uint) (pkcs11.SessionHandle, error)
	CloseSession(pkcs11.SessionHandle) error
	GetSessionInfo(pkcs11.SessionHandle) (pkcs11.SessionInfo, error)
	Login(s pkcs11.SessionHandle, user uint, pin string) error
	Find(s pkcs11.SessionHandle, template []*pkcs11.Attribute, limit int) ([]pkcs11.ObjectHandle, error)
	GetAttributeValue(pkcs11.SessionHandle, pkcs11.ObjectHandle, []*pkcs11.Attribute) ([]*pkcs11.Attribute, error)
	CreateObject(pkcs11.SessionHandle, []*pkcs11.Attribute) (pkcs11.ObjectHandle, error)
	DestroyObject(pkcs11.SessionHandle, pkcs11.ObjectHandle) error
	// Sign makes the raw signature, r then s, by CKM_ECDSA.
	Sign(s pkcs11.SessionHandle, key pkcs11.ObjectHandle, digest []byte) ([]byte, error)
	// Derive derives a key by CKM_ECDH1_DERIVE.
	Derive(s pkcs11.SessionHandle, key pkcs11.ObjectHandle, p pkcs11.ECDH1DeriveParams, template []*pkcs11.Attribute) (pkcs11.ObjectHandle, error)
}

// library is a module that was loaded from a file.
type library struct{ *pkcs11.Ctx }

// maxModule bounds the file of a module, in bytes.
const maxModule = 1 << 30

// load loads a module. Its file must be writable only by its owner, who must be this user or
// root, because its code runs in this process.
func load(path string) (module, error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("PKCS#11 module: %w", err)
	}
	f, err := safefile.Open(file, maxModule, safefile.Own)
	if err != nil {
		return nil, fmt.Errorf("PKCS#11 module: %w", err)
	}
	defer f.Close()
	ctx := pkcs11.New(file)
	if ctx == nil {
		return nil, fmt.Errorf("%s is not a PKCS#11 module that can be loaded here", path)
	}
	return library{ctx}, nil
}

// Initialize lets the module lock with what the system has, as it is called from many
// threads. The library is never unloaded: it may have threads of its own.
func (l library) Initialize() error { return l.Ctx.Initialize() }

func (l library) Find(s pkcs11.SessionHandle, template []*pkcs11.Attribute, limit int) ([]pkcs11.ObjectHandle, error) {
	if err := l.FindObjectsInit(s, template); err != nil {
		return nil, err
	}
	found, _, err := l.FindObjects(s, limit)
	if end := l.FindObjectsFinal(s); err == nil {
		err = end
	}
	return found, err
}

func (l library) Sign(s pkcs11.SessionHandle, key pkcs11.ObjectHandle, digest []byte) ([]byte, error) {
	if err := l.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, key); err != nil {
		return nil, err
	}
	return l.Ctx.Sign(s, digest)
}

func (l library) Derive(s pkcs11.SessionHandle, key pkcs11.ObjectHandle, p pkcs11.ECDH1DeriveParams, template []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	return l.DeriveKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, &p)}, key, template)
}
