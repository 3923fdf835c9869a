package devicepki_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"safemode/devicesim/devicepki"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
)

const device servicerequests.EUI = 0x00DB12E000000001

func newPKI(t testing.TB, seed uint64, authority smki.SigningIdentity) *devicepki.PKI {
	t.Helper()
	p, err := devicepki.New(seed, authority)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testFolder(t testing.TB) *smki.Folder {
	t.Helper()
	return smkitest.Folder(t, smki.TestFolder{Seed: []byte("devicepki")})
}

func TestCertificates(t *testing.T) {
	folder := testFolder(t)
	for name, test := range map[string]struct {
		authority smki.SigningIdentity
		trusted   func(*devicepki.PKI) []*smki.Certificate
	}{
		"the folder's authority": {folder.DeviceIssuing, func(*devicepki.PKI) []*smki.Certificate { return folder.Authorities() }},
		"an authority of its own": {smki.SigningIdentity{}, func(p *devicepki.PKI) []*smki.Certificate {
			return []*smki.Certificate{p.Issuer()}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t, 1, test.authority)
			pair, err := p.Certificates(device)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := p.Keys(device)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(pair[0].CheckKey(&keys.Signing.PublicKey), pair[1].CheckKey(keys.Agreement.PublicKey())); err != nil {
				t.Error(err)
			}
			if pair[0].Usage != smki.DigitalSignature || pair[1].Usage != smki.KeyAgreement || pair[0].PublicKey.Equal(pair[1].PublicKey) {
				t.Error("usages or keys are not apart")
			}
			for _, c := range pair {
				if !c.Device || c.EUI != device || !c.IsTest() {
					t.Errorf("certificate of %v, device %t, test %t", c.EUI, c.Device, c.IsTest())
				}
				if err := c.VerifyChain(test.trusted(p)); err != nil {
					t.Error(err)
				}
				if err := c.CheckValidAt(time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// The same seed gives the same keys and certificates in another process, and
// another seed or device gives others.
func TestEverythingFollowsFromTheSeed(t *testing.T) {
	certificate := func(seed uint64, device servicerequests.EUI) []byte {
		pair, err := newPKI(t, seed, smki.SigningIdentity{}).Certificates(device)
		if err != nil {
			t.Fatal(err)
		}
		return append(bytes.Clone(pair[0].Raw), pair[1].Raw...)
	}
	one := certificate(1, device)
	if !bytes.Equal(one, certificate(1, device)) {
		t.Error("one seed gave two certificates")
	}
	if bytes.Equal(one, certificate(2, device)) || bytes.Equal(one, certificate(1, device+1)) {
		t.Error("two devices have one certificate")
	}
	p := newPKI(t, 1, smki.SigningIdentity{})
	first, _ := p.Certificates(device)
	again, _ := p.Certificates(device)
	if first[0] != again[0] {
		t.Error("a certificate was issued twice")
	}
}

func TestNewRefusesARealAuthority(t *testing.T) {
	key, err := smki.DeriveTestKey([]byte("real"), "root")
	if err != nil {
		t.Fatal(err)
	}
	root, err := smki.NewRoot(smki.Template{Role: smki.NoRole, CommonName: "GB DEVICES", NotBefore: time.Unix(0, 0), NotAfter: smki.DeviceNotAfter}, key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = devicepki.New(1, smki.SigningIdentity{Certificate: root.Certificate, Key: key})
	if !errors.Is(err, devicepki.ErrNotTest) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkKeys(b *testing.B) {
	p := newPKI(b, 1, smki.SigningIdentity{})
	next := device
	for b.Loop() {
		next++
		if _, err := p.Keys(next); err != nil {
			b.Fatal(err)
		}
	}
}

// A device whose keys were replaced has others, and the service has its certificates of
// both.
func TestRenewed(t *testing.T) {
	p, err := devicepki.New(1, smki.SigningIdentity{})
	if err != nil {
		t.Fatal(err)
	}
	const device servicerequests.EUI = 0x00DB1234567890A0
	before, err := p.Keys(device)
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.Certificates(device)
	if err != nil {
		t.Fatal(err)
	}
	p.Renewed = func(d servicerequests.EUI) bool { return d == device }
	after, err := p.Keys(device)
	if err != nil || after.Signing.Equal(before.Signing) || after.Agreement.Equal(before.Agreement) {
		t.Errorf("the keys are the same: %v", err)
	}
	all, err := p.Certificates(device)
	if err != nil || len(all) != 4 || all[2] != first[0] || all[3] != first[1] || !all[0].PublicKey.Equal(&after.Signing.PublicKey) {
		t.Errorf("%d certificates, %v", len(all), err)
	}
	if other, err := p.Certificates(device + 1); err != nil || len(other) != 2 {
		t.Errorf("another device has %d, %v", len(other), err)
	}
}

// A twin is another certificate of the same key.
func TestTwin(t *testing.T) {
	p, err := devicepki.New(1, smki.SigningIdentity{})
	if err != nil {
		t.Fatal(err)
	}
	p.Twin = func(device servicerequests.EUI) bool { return device == 0x00DB1234567890A0 }
	all, err := p.Certificates(0x00DB1234567890A0)
	if err != nil || len(all) != 4 {
		t.Fatalf("%d certificates, %v", len(all), err)
	}
	for i := range 2 {
		if all[i].Serial.Cmp(all[i+2].Serial) == 0 || all[i].Usage != all[i+2].Usage || !all[i].PublicKey.Equal(all[i+2].PublicKey) {
			t.Errorf("%v and %v", all[i], all[i+2])
		}
	}
	if other, err := p.Certificates(0x00DB1234567890A1); err != nil || len(other) != 2 {
		t.Errorf("another device has %d, %v", len(other), err)
	}
}
