package directory

import (
	"errors"
	"strings"
	"testing"
)

// A serial is a token that goes back as it came.
func TestSerialIsEchoed(t *testing.T) {
	p := newPKI(t, "a")
	for _, serial := range []string{
		"4DF56E92D528F83544EBA0547068CF8C", "00F56E92D528F83544EBA0547068CF8C", "4df56e92d528f83544eba0547068cf8c",
		"103629453013549331236113131466036367244", "0000042", strings.Repeat("0", maxSerial),
	} {
		s := newService(t)
		signing, agreement := p.pair(t, meter)
		signing.serial = serial
		s.offers = []offer{signing, agreement}
		got, err := newDirectory(t, s, p, nil).Keys(t.Context(), meter)
		if err != nil {
			t.Errorf("serial %s: %v", serial, err)
			continue
		}
		wantKeys(t, got, signing.certificate, agreement.certificate)
	}
	for _, serial := range []string{"4DF56E92 D528F835", "0x4DF56E92", "-12", "4D:F5", "G", strings.Repeat("0", maxSerial+1)} {
		s := newService(t)
		signing, agreement := p.pair(t, meter)
		signing.serial = serial
		s.offers = []offer{signing, agreement}
		if _, err := newDirectory(t, s, p, nil).Keys(t.Context(), meter); !errors.Is(err, errUnavailable) {
			t.Errorf("serial %s: %v, want ErrUnavailable", serial, err)
		}
	}
}

// An organisation's certificate is listed if the service gives the very one, in use.
func TestListed(t *testing.T) {
	s, p := newService(t), newPKI(t, "a")
	dcc := p.folder.DCC.XMLSigning.Certificate
	d := newDirectory(t, s, p, nil)
	s.byName = true
	for name, test := range map[string]struct {
		offers []offer
		want   error
	}{
		"none":                  {nil, errNoCertificate},
		"another":               {[]offer{{p.folder.DCC.Transform.Certificate, "I", "DS", ""}}, errNoCertificate},
		"not in use":            {[]offer{{dcc, "R", "DS", ""}}, errNoCertificate},
		"that one":              {[]offer{{dcc, "I", "DS", ""}}, nil},
		"that one among others": {[]offer{{p.folder.DCC.Transform.Certificate, "I", "DS", ""}, {dcc, "I", "DS", ""}}, nil},
	} {
		s.offer(test.offers...)
		if err := d.Listed(t.Context(), dcc); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
