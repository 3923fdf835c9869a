package smki_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// vector reads one file of the outside vectors: SAFEMODE_VECTORS, or
// ../shared/vectors beside the repository.
func vector(tb testing.TB, name string) []byte {
	tb.Helper()
	dir := os.Getenv("SAFEMODE_VECTORS")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			tb.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				tb.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "vectors")
	}
	if _, err := os.Stat(dir); err != nil {
		tb.Skipf("vectors folder is absent: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

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
	if err := json.Unmarshal(vector(tb, "gbcs-keys.json"), &file); err != nil {
		tb.Fatal(err)
	}
	return file.Keys
}
