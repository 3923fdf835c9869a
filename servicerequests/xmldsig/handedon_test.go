package xmldsig_test

import (
	"errors"
	"strings"
	"testing"

	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

const (
	sr = `xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway"`
	ra = `xmlns:ra="http://www.dccinterface.co.uk/ResponseAndAlert"`
)

// TestVerifyHandedOn: a provider signs a document of its own, which is then put into one of
// the DCC's, with declarations around it and white space between the DCC's elements.
func TestVerifyHandedOn(t *testing.T) {
	provider, providers := newSigner(t)
	dcc, dccKeys := newSigner(t)
	provider.Issuer, provider.Serial = "CN=S1SP", "77"
	providers = pinned{xmldsig.KeyRef{Issuer: "CN=S1SP", Serial: "77"}: providers[xmldsig.KeyRef{Issuer: "CN=Z1,OU=07", Serial: "1234567890"}]}
	for name, said := range map[string]string{
		"all names on its root":     `<sr:SMETS1SignedResponse ` + ra + ` ` + sr + ` schemaVersion="5.4"><sr:SMETS1Response><ra:Said>x</ra:Said></sr:SMETS1Response></sr:SMETS1SignedResponse>`,
		"a name where it is used":   `<sr:SMETS1SignedResponse ` + sr + ` schemaVersion="5.4"><sr:SMETS1Response><ra:Said ` + ra + `>x</ra:Said></sr:SMETS1Response></sr:SMETS1SignedResponse>`,
		"an alert":                  `<sr:S1SPAlert ` + sr + ` schemaVersion="5.4"><sr:S1SPAlertCode>S1VE1</sr:S1SPAlertCode></sr:S1SPAlert>`,
		"a name that nobody uses":   `<sr:S1SPAlert ` + ra + ` ` + sr + ` schemaVersion="5.4"><sr:S1SPAlertCode>S1VE1</sr:S1SPAlertCode></sr:S1SPAlert>`,
		"a name in its own default": `<S1SPAlert xmlns="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4"><S1SPAlertCode>S1VE1</S1SPAlertCode></S1SPAlert>`,
	} {
		inner := mustSign(t, provider, said)
		for around, outer := range map[string]string{
			"":                      `<sr:Response ` + sr + `><sr:Body>` + inner + `</sr:Body></sr:Response>`,
			"with its name":         `<sr:Response ` + ra + ` ` + sr + `><sr:Body>` + inner + `</sr:Body></sr:Response>`,
			"with foreign names":    `<sr:Response ` + sr + ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><sr:Body>` + inner + `</sr:Body></sr:Response>`,
			"with its own prefixes": `<r:Response xmlns:r="http://www.dccinterface.co.uk/ServiceUserGateway"><r:Body>` + inner + `</r:Body></r:Response>`,
		} {
			if strings.Contains(said, ra+" "+sr) && around == "with its name" {
				outer = strings.Replace(outer, ra+" "+sr+` schemaVersion`, `schemaVersion`, 1) // superfluous there, as a writer leaves it out
			}
			if name == "a name where it is used" && around == "with its name" {
				continue // canonical form has left no trace of where it stood
			}
			tree, err := xmltree.Parse([]byte(mustSign(t, dcc, canonicalForm(t, outer))))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := xmldsig.VerifyTree(tree, dccKeys); err != nil {
				t.Errorf("%s %s: the DCC's: %v", name, around, err)
			}
			if ref, err := xmldsig.VerifyHandedOn(tree, providers); err != nil || ref.Serial != "77" {
				t.Errorf("%s %s: %v, %v", name, around, ref, err)
			}
			spaced, err := xmltree.Parse([]byte(strings.NewReplacer("Body>", "Body>\n ").Replace(outer)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := xmldsig.VerifyHandedOn(spaced, providers); err != nil {
				t.Errorf("%s %s, spaced: %v", name, around, err)
			}
		}
	}
}

func TestVerifyHandedOnRefuses(t *testing.T) {
	provider, keys := newSigner(t)
	_, strangers := newSigner(t)
	inner := mustSign(t, provider, `<sr:S1SPAlert `+sr+` schemaVersion="5.4"><sr:S1SPAlertCode>S1VE1</sr:S1SPAlertCode></sr:S1SPAlert>`)
	around := func(inner string) string {
		return `<sr:Response ` + sr + `><sr:Body>` + inner + `</sr:Body></sr:Response>`
	}
	for name, c := range map[string]struct {
		document string
		keys     pinned
		want     error
	}{
		"nothing handed on":     {around("<sr:X></sr:X>"), keys, xmldsig.ErrUnsigned},
		"in another element":    {around(strings.NewReplacer("<sr:S1SPAlert ", "<sr:S1SPAlarm ", "</sr:S1SPAlert>", "</sr:S1SPAlarm>").Replace(inner)), keys, xmldsig.ErrUnsigned},
		"two":                   {around(inner + inner), keys, xmldsig.ErrProfile},
		"signature not last":    {around(strings.Replace(inner, "</sr:S1SPAlert>", "<sr:X></sr:X></sr:S1SPAlert>", 1)), keys, xmldsig.ErrProfile},
		"another algorithm":     {around(strings.Replace(inner, "xmlenc#sha256", "xmlenc#sha512", 1)), keys, xmldsig.ErrProfile},
		"changed":               {around(strings.Replace(inner, "S1VE1", "S1VE2", 1)), keys, xmldsig.ErrDigest},
		"another's key":         {around(inner), strangers, xmldsig.ErrSignature},
		"no key":                {around(inner), pinned{}, xmldsig.ErrUnknownKey},
		"its version taken off": {around(strings.Replace(inner, ` schemaVersion="5.4"`, "", 1)), keys, xmldsig.ErrDigest},
	} {
		tree, err := xmltree.Parse([]byte(c.document))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if ref, err := xmldsig.VerifyHandedOn(tree, c.keys); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, ref, err, c.want)
		}
	}
}

func FuzzVerifyHandedOn(f *testing.F) {
	provider, keys := newSigner(f)
	inner := mustSign(f, provider, `<sr:S1SPAlert `+sr+` schemaVersion="5.4"><sr:S1SPAlertCode>S1VE1</sr:S1SPAlertCode></sr:S1SPAlert>`)
	f.Add([]byte(`<sr:Response ` + sr + `><sr:Body>` + inner + `</sr:Body></sr:Response>`))
	f.Add([]byte(inner))
	f.Fuzz(func(t *testing.T, document []byte) {
		tree, err := xmltree.Parse(document)
		if err != nil {
			return
		}
		before := string(tree.AppendInclusive(nil, tree.Root(), xmltree.Node{}))
		_, err = xmldsig.VerifyHandedOn(tree, keys)
		if after := string(tree.AppendInclusive(nil, tree.Root(), xmltree.Node{})); after != before {
			t.Fatal("the tree has changed")
		}
		if err == nil && !strings.Contains(before, "S1VE1") {
			t.Fatalf("proven: %q", before)
		}
	})
}

// canonicalForm is a document as a signer takes it.
func canonicalForm(t testing.TB, document string) string {
	t.Helper()
	tree, err := xmltree.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return string(tree.AppendCompact(nil, tree.Root(), xmltree.Node{}))
}
