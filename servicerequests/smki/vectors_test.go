package smki_test

import (
	"testing"

	"safemode/servicerequests/outside"
)

// publishedKey is one entry of gbcs-keys.json.
type publishedKey struct {
	EUI         string `json:"eui"`
	Use         string `json:"use"`
	Issuer      string `json:"issuer"`
	SerialHex   string `json:"serialHex"`
	NotBefore   string `json:"notBefore"`
	NotAfter    string `json:"notAfter"`
	PublicKey   string `json:"publicKeyUncompressed"`
	Certificate []byte `json:"certificateDerBase64"`
	Scalar      string `json:"testPrivateScalarHex"`
}

func publishedKeys(tb testing.TB) []publishedKey {
	tb.Helper()
	var file struct {
		Keys []publishedKey `json:"keys"`
	}
	outside.Decode(tb, "gbcs-keys.json", &file)
	return file.Keys
}
