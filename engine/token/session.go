//go:build cgo

package token

import (
	"context"
	"errors"
	"strings"

	"github.com/miekg/pkcs11"
	"go.uber.org/zap"

	"safemode/servicerequests/keyuri"
)

// session is one session of the module, or none yet. Only the goroutine that took it from
// Token.idle may use it.
type session struct {
	open   bool
	handle pkcs11.SessionHandle
	keys   map[*key]pkcs11.ObjectHandle // found with this session

	inUse bool // guarded by Token.mu
}

// key is a private key of the token.
type key struct {
	uri    keyuri.URI
	proven bool // it was there and fitted its certificate; set before others have the key
	// prove checks a handle that was just found by the certificate; nil: each use does.
	prove func(*session, pkcs11.ObjectHandle) error
}

// ready opens a session unless it is open, logged in, and nobody else's.
func (t *Token) ready(ctx context.Context, s *session) error {
	if s.open && !t.owns(s) {
		s.open = false // the module has started its handles again
	}
	if s.open {
		return nil
	}
	slot, err := t.findSlot()
	if err != nil {
		return err
	}
	handle, err := t.m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return t.forgetSlot(called("C_OpenSession", err))
	}
	if err := t.claimHandle(s, handle); err != nil {
		return err
	}
	if err := t.logIn(ctx, handle); err != nil {
		t.drop(s, err)
		return err
	}
	return nil
}

// forgetSlot has the slot looked for again after a call that says that it has changed.
func (t *Token) forgetSlot(err error) error {
	e, is := errors.AsType[*Error](err)
	if !is || e.class != lost {
		return err
	}
	t.mu.Lock()
	t.found = false
	t.mu.Unlock()
	if e.Code == pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED {
		if again := called("C_Initialize", t.m.Initialize()); again != nil {
			return errors.Join(err, again)
		}
	}
	return err
}

// claimHandle gives a new handle to a session. A module that was restarted may give out a
// handle that another session still has. That session then finds out that it lost it, but
// while it is in use it keeps the handle.
func (t *Token) claimHandle(s *session, handle pkcs11.SessionHandle) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.owners[handle]; other != nil && other != s && other.inUse {
		return fail(lost, "the module has given out session %d twice", handle)
	}
	t.owners[handle] = s
	s.open, s.inUse, s.handle, s.keys = true, true, handle, map[*key]pkcs11.ObjectHandle{}
	return nil
}

// owns says whether a session's handle is still its own, and marks it as in use.
func (t *Token) owns(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.inUse = t.owners[s.handle] == s
	return s.inUse
}

func (t *Token) rest(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.inUse = false
}

// drop forgets a session, and closes it unless the module has forgotten it before.
func (t *Token) drop(s *session, why error) {
	if !s.open {
		return
	}
	s.open = false
	t.mu.Lock()
	owned := t.owners[s.handle] == s
	t.mu.Unlock()
	e, _ := errors.AsType[*Error](why)
	known := e == nil || e.Code != pkcs11.CKR_SESSION_HANDLE_INVALID && e.Code != pkcs11.CKR_SESSION_CLOSED
	if owned && known {
		if err := t.m.CloseSession(s.handle); err != nil {
			t.o.Log.Debug("token session not closed", zap.Error(err))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.owners[s.handle] == s {
		delete(t.owners, s.handle)
	}
}

// findSlot finds the slot of the token with the label, and keeps it.
func (t *Token) findSlot() (uint, error) {
	t.mu.Lock()
	slot, found := t.slot, t.found
	t.mu.Unlock()
	if found {
		return slot, nil
	}
	slots, err := t.m.GetSlotList(true)
	if err != nil {
		return 0, t.forgetSlot(called("C_GetSlotList", err))
	}
	var labels []string
	var those []uint
	for _, slot := range slots {
		info, err := t.m.GetTokenInfo(slot)
		if err != nil {
			continue // of another token
		}
		labels = append(labels, info.Label)
		if strings.TrimRight(info.Label, " \x00") == t.o.Token {
			those = append(those, slot)
		}
	}
	switch len(those) {
	case 0:
		return 0, fail(away, "no token has the label %q; there are %q", t.o.Token, labels)
	case 1:
	default:
		return 0, fail(refused, "%d tokens have the label %q", len(those), t.o.Token)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slot, t.found = those[0], true
	return t.slot, nil
}

// loggedIn says whether the user of the token is logged in, as a session sees it.
func (t *Token) loggedIn(handle pkcs11.SessionHandle) (bool, error) {
	info, err := t.m.GetSessionInfo(handle)
	if err != nil {
		return false, called("C_GetSessionInfo", err)
	}
	return info.State == pkcs11.CKS_RO_USER_FUNCTIONS || info.State == pkcs11.CKS_RW_USER_FUNCTIONS, nil
}

// logIn logs the process in, unless it is. A PIN that was refused is not tried again:
// tokens lock after a few.
func (t *Token) logIn(ctx context.Context, handle pkcs11.SessionHandle) error {
	t.loggingIn.Lock()
	defer t.loggingIn.Unlock()
	if in, err := t.loggedIn(handle); in || err != nil {
		return err
	}
	if t.barred != nil {
		return t.barred
	}
	pin, err := t.o.PIN(ctx)
	if err != nil {
		return fail(away, "%w", err)
	}
	err = called("C_Login", t.m.Login(handle, pkcs11.CKU_USER, pin))
	e, is := errors.AsType[*Error](err)
	switch {
	case !is:
		t.o.Log.Info("logged in to the token", zap.String("token", t.o.Token))
		return nil
	case e.Code == pkcs11.CKR_USER_ALREADY_LOGGED_IN:
		return nil
	case e.class == refused:
		t.barred = err
	}
	return err
}

// template finds a private key.
func template(u keyuri.URI) []*pkcs11.Attribute {
	list := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
	}
	if u.Object != "" {
		list = append(list, pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.Object))
	}
	if len(u.ID) > 0 {
		list = append(list, pkcs11.NewAttribute(pkcs11.CKA_ID, u.ID))
	}
	return list
}

// find finds a key with a session, or knows it already.
func (t *Token) find(s *session, k *key) (pkcs11.ObjectHandle, error) {
	if handle, known := s.keys[k]; known {
		return handle, nil
	}
	if err := t.holds(k.uri); err != nil {
		return 0, err
	}
	found, err := t.m.Find(s.handle, template(k.uri), 2)
	if err != nil {
		return 0, called("C_FindObjects", err)
	}
	switch len(found) {
	case 1:
	case 0:
		return 0, t.missing(s, k)
	default:
		return 0, fail(refused, "several private keys are %s: name one by its id, too", k.uri)
	}
	if k.prove != nil {
		if err := k.prove(s, found[0]); err != nil {
			return 0, err
		}
	}
	s.keys[k] = found[0]
	return found[0], nil
}

// missing says why a key is not found: without a login private keys are not seen.
func (t *Token) missing(s *session, k *key) error {
	in, err := t.loggedIn(s.handle)
	switch {
	case err != nil:
		return err
	case !in:
		return fail(lost, "the login is lost")
	case k.proven:
		return fail(gone, "the private key %s is no longer in the token", k.uri)
	}
	return fail(refused, "no private key in the token is %s", k.uri)
}

// holds compares what a URI says of the token with the open token.
func (t *Token) holds(u keyuri.URI) error {
	if u.ModulePath != "" && u.ModulePath != t.o.Module {
		return fail(refused, "%s is of another module", u)
	}
	if u.Token+u.Serial+u.Model+u.Manufacturer == "" {
		return nil
	}
	slot, err := t.findSlot()
	if err != nil {
		return err
	}
	info, err := t.m.GetTokenInfo(slot)
	if err != nil {
		return called("C_GetTokenInfo", err)
	}
	for _, pair := range [...][2]string{
		{u.Token, info.Label}, {u.Serial, info.SerialNumber}, {u.Model, info.Model}, {u.Manufacturer, info.ManufacturerID},
	} {
		if pair[0] != "" && pair[0] != strings.TrimRight(pair[1], " \x00") {
			return fail(refused, "%s is of another token", u)
		}
	}
	return nil
}
