package xmldsig_test

import (
	"regexp"
	"strings"
	"testing"

	"safemode/servicerequests/xmldsig"
)

const (
	body     = `<sr:Body><sr:ActivateEmergencyCredit></sr:ActivateEmergencyCredit></sr:Body>`
	evilBody = `<sr:Body><sr:EnableSupply></sr:EnableSupply></sr:Body>`
)

// The eight shapes of signature wrapping that broke SAML, known as XSW1 to XSW8,
// in DUIS's words: what was signed is kept for the digest, and another root (1, 2)
// or another Body (3 to 8) stands where the data is read. Each comes in two forms:
// with the reference to the whole document that the profile has, and with one to
// an Id on what was signed, which the shapes were made for.
func TestAttackClassicWrapping(t *testing.T) {
	shapes := []struct {
		name string
		// change gets the signed document without its Signature, and that.
		change func(doc, signature string) string
		want   error // with a reference to the whole document
	}{
		{"XSW1 another root, the signed root within its Signature", func(doc, signature string) string {
			return inRoot(evil, within(signature, doc))
		}, xmldsig.ErrProfile},
		{"XSW2 another root, the signed root before its Signature", func(doc, signature string) string {
			return inRoot(evil, doc+signature)
		}, xmldsig.ErrDigest},
		{"XSW3 another Body before the signed Body", func(doc, signature string) string {
			return inRoot(strings.Replace(doc, body, evilBody+body, 1), signature)
		}, xmldsig.ErrDigest},
		{"XSW4 the signed Body within another Body", func(doc, signature string) string {
			return inRoot(strings.Replace(doc, body, strings.Replace(evilBody, "</sr:Body>", body+"</sr:Body>", 1), 1), signature)
		}, xmldsig.ErrDigest},
		{"XSW5 Body changed, the signed Body at the end", func(doc, signature string) string {
			return inRoot(strings.Replace(doc, body, evilBody, 1), signature+body)
		}, xmldsig.ErrProfile},
		{"XSW6 Body changed, the signed Body within the Signature", func(doc, signature string) string {
			return inRoot(strings.Replace(doc, body, evilBody, 1), within(signature, body))
		}, xmldsig.ErrProfile},
		{"XSW7 Body changed, the signed Body within an extension", func(doc, signature string) string {
			return inRoot(strings.Replace(doc, body, "<sr:Extensions>"+body+"</sr:Extensions>"+evilBody, 1), signature)
		}, xmldsig.ErrDigest},
		{"XSW8 Body changed, the signed Body within an Object", func(doc, signature string) string {
			return inRoot(strings.Replace(doc, body, evilBody, 1), within(signature, "<ds:Object>"+body+"</ds:Object>"))
		}, xmldsig.ErrProfile},
	}
	for _, shape := range shapes {
		mustBeRefused(t, []attack{
			{shape.name + ", reference to the document", func(signed string) string {
				return shape.change(split(signed))
			}, shape.want},
			{shape.name + ", reference to an Id", func(signed string) string {
				doc, signature := split(signed)
				changed := shape.change(doc, strings.Replace(signature, `URI=""`, `URI="#signed"`, 1))
				if strings.Contains(changed, doc) { // the root was kept, else the Body
					return strings.Replace(changed, doc, strings.Replace(doc, "<sr:Request", `<sr:Request Id="signed"`, 1), 1)
				}
				return strings.Replace(changed, body, strings.Replace(body, "<sr:Body", `<sr:Body Id="signed"`, 1), 1)
			}, xmldsig.ErrProfile},
		})
	}
}

// inRoot puts text at the end of the root.
func inRoot(doc, text string) string {
	return strings.TrimSuffix(doc, "</sr:Request>") + text + "</sr:Request>"
}

// within puts text at the end of a Signature.
func within(signature, text string) string {
	return strings.TrimSuffix(signature, "</ds:Signature>") + text + "</ds:Signature>"
}

func TestAttackDuplicateIds(t *testing.T) {
	ids := func(signed string) string {
		return strings.NewReplacer("<sr:Header>", `<sr:Header Id="x">`, "<sr:Body>", `<sr:Body Id="x">`).Replace(signed)
	}
	mustBeRefused(t, []attack{
		{"two Ids, reference to the document", ids, xmldsig.ErrDigest},
		{"two Ids, reference to them", func(signed string) string {
			return strings.Replace(ids(signed), `URI=""`, `URI="#x"`, 1)
		}, xmldsig.ErrProfile},
		{"two Ids on one element", replace("<sr:Body>", `<sr:Body Id="x" Id="x">`), nil},
		{"Id and ID and id", replace("<sr:Body>", `<sr:Body Id="x" ID="x" id="x">`), xmldsig.ErrDigest},
		{"xml:id twice", func(signed string) string {
			return strings.NewReplacer("<sr:Header>", `<sr:Header xml:id="x">`, "<sr:Body>", `<sr:Body xml:id="x">`).Replace(signed)
		}, nil},
	})
}

// Two of what counts, of which one is good: whichever a reader takes.
func TestAttackTwoOfWhichOneIsGood(t *testing.T) {
	beside := func(tag string, first bool, spoil func(string) string) func(string) string {
		element := regexp.MustCompile(`<ds:` + tag + `[ >].*</ds:` + tag + `>`)
		return func(signed string) string {
			return element.ReplaceAllStringFunc(signed, func(good string) string {
				if first {
					return good + spoil(good)
				}
				return spoil(good) + good
			})
		}
	}
	text := regexp.MustCompile(`>[^<]+<`)
	other := func(good string) string { return text.ReplaceAllString(good, ">AAAA<") }
	elsewhere := replace(`URI=""`, `URI="#elsewhere"`)
	same := func(good string) string { return good }
	var attacks []attack
	for _, a := range []struct {
		tag   string
		spoil func(string) string
	}{
		{"Reference", elsewhere},
		{"Reference", other},
		{"SignedInfo", elsewhere},
		{"SignedInfo", same},
		{"DigestValue", other},
		{"SignatureValue", other},
		{"Transforms", replace("enveloped-signature", "base64")},
		{"Transform", replace("enveloped-signature", "base64")},
		{"DigestMethod", replace("sha256", "sha1")},
		{"KeyInfo", replace("1234567890", "1")},
		{"X509Data", replace("1234567890", "1")},
		{"X509IssuerSerial", replace("1234567890", "1")},
		{"X509SerialNumber", other},
		{"X509IssuerName", replace("Z1", "Z2")},
	} {
		attacks = append(attacks,
			attack{a.tag + ", the good one first", beside(a.tag, true, a.spoil), xmldsig.ErrProfile},
			attack{a.tag + ", the good one last", beside(a.tag, false, a.spoil), xmldsig.ErrProfile})
	}
	mustBeRefused(t, attacks)
}

func TestAttackEmptyParts(t *testing.T) {
	var attacks []attack
	for _, tag := range []string{
		"SignedInfo", "Reference", "Transforms", "DigestValue", "SignatureValue", "KeyInfo", "X509Data",
		"X509IssuerSerial", "X509IssuerName", "X509SerialNumber",
	} {
		element := regexp.MustCompile(`(<ds:` + tag + `(?: [^>]*)?>).*(</ds:` + tag + `>)`)
		attacks = append(attacks,
			attack{tag + " empty", func(signed string) string { return element.ReplaceAllString(signed, "$1$2") }, xmldsig.ErrProfile},
			attack{tag + " of white space", func(signed string) string { return element.ReplaceAllString(signed, "$1 \n$2") }, xmldsig.ErrProfile})
	}
	for _, tag := range []string{"CanonicalizationMethod", "SignatureMethod", "Transform", "DigestMethod"} {
		element := regexp.MustCompile(`(<ds:` + tag + ` Algorithm=")[^"]*(">)`)
		attacks = append(attacks, attack{tag + " of no algorithm", func(signed string) string {
			return element.ReplaceAllString(signed, "$1$2")
		}, xmldsig.ErrProfile})
	}
	mustBeRefused(t, attacks)
}
