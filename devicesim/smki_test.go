package devicesim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"net/http"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// certificates asks the SMKI service for a device's certificates and checks that
// they are of the folder's hierarchy.
func (u *user) certificates(device servicerequests.EUI) (signing, agreement *smki.Certificate) {
	u.t.Helper()
	for _, c := range u.search("CertificateSubjectAltName", device.String()) {
		if err := c.VerifyChain(u.authorities); err != nil || !c.Device || c.EUI != device {
			u.t.Fatalf("certificate of %s for %s: %v", c.EUI, device, err)
		}
		if c.Usage == smki.DigitalSignature {
			signing = c
		} else {
			agreement = c
		}
	}
	if signing == nil || agreement == nil {
		u.t.Fatalf("no two certificates of %s", device)
	}
	return signing, agreement
}

// search returns the certificates that the SMKI service finds.
func (u *user) search(element, name string) (list []*smki.Certificate) {
	u.t.Helper()
	var found struct {
		Results []struct {
			Serial string `xml:"CertificateSerial"`
		} `xml:"Result"`
	}
	u.smki("certificatesearch", "<CertificateSearchRequest><"+element+">"+name+"</"+element+"></CertificateSearchRequest>", &found)
	for _, result := range found.Results {
		var got struct {
			Body string `xml:"CertificateResponse>CertificateBody"`
		}
		u.smki("retrievecertificate", "<CertificateDataRequest><CertificateSerial>"+result.Serial+
			"</CertificateSerial></CertificateDataRequest>", &got)
		der, err := base64.StdEncoding.DecodeString(got.Body)
		if err != nil {
			u.t.Fatal(err)
		}
		c, err := smki.ParseCertificate(der)
		if err != nil {
			u.t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func (u *user) smki(service, body string, into any) {
	u.t.Helper()
	response, err := u.client.Post("http://"+u.sim.SMKIAddr()+"/services/"+service+"?apikey=any", "application/xml", bytes.NewReader([]byte(body)))
	if err != nil {
		u.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		u.t.Fatalf("%s: status %d", service, response.StatusCode)
	}
	if err := xml.NewDecoder(response.Body).Decode(into); err != nil {
		u.t.Fatal(err)
	}
}
