package smki

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// No digit of a private key comes out when an identity, or a struct around it, is
// formatted, logged or marshalled.
func TestKeysDoNotShowThemselves(t *testing.T) {
	f, keys := folderWithKeys(t)
	holder := struct {
		Name     string
		Identity SigningIdentity
		Agree    AgreementIdentity
		List     []SigningIdentity
		ByName   map[string]any
	}{"x", f.Supplier.XMLSigning, f.Supplier.KeyAgreement, []SigningIdentity{f.Supplier.DigitalSigning}, map[string]any{"key": f.Supplier.XMLSigning.Key}}
	for _, v := range []any{f.Supplier.XMLSigning, &f.Supplier.XMLSigning, f.Supplier.XMLSigning.Key, f.Supplier.KeyAgreement, *f, f, holder, &holder} {
		var said bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&said, verb+"\n", v)
		}
		if text, err := json.Marshal(v); err == nil {
			said.Write(text)
		}
		log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&said), zapcore.DebugLevel))
		log.Info("identity", zap.Any("identity", v), zap.Reflect("again", v), zap.Any("list", []any{v}))
		log.Sugar().Infow("sugared", "identity", v)
		log.Sugar().Infof("%v %+v", v, v)
		for _, key := range keys {
			wantNoDigits(t, fmt.Sprintf("%T", v), said.String(), key)
		}
	}
}

// wantNoDigits fails if text holds the private key in a form that fmt, JSON or a hex
// dump would give it.
func wantNoDigits(t *testing.T, what, text string, key *ecdsa.PrivateKey) {
	t.Helper()
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	scalar := new(big.Int).SetBytes(raw)
	for form, digits := range map[string]string{
		"decimal": scalar.String(), "hex": hex.EncodeToString(raw), "bytes": strings.Trim(fmt.Sprintf("%d", raw), "[]"),
		"Go syntax": strings.Trim(fmt.Sprintf("%#v", raw), "[]byte{}"),
	} {
		if strings.Contains(strings.ToLower(text), digits) {
			t.Errorf("%s shows its private key in %s", what, form)
		}
	}
}

// folderWithKeys is a test folder with the supplier's private keys, read apart.
func folderWithKeys(t *testing.T) (*Folder, []*ecdsa.PrivateKey) {
	t.Helper()
	files, err := TestFolder{Seed: []byte("secret")}.Files()
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	var keys []*ecdsa.PrivateKey
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: bytes.Clone(data), Mode: 0o600}
		if strings.HasPrefix(name, "supplier/") && strings.HasSuffix(name, ".key") {
			key, err := ParsePrivateKeyPEM(data)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
	}
	f, err := LoadFolder(fsys)
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	return f, keys
}

// The check itself must see a key that does show itself.
func TestKeysDoNotShowThemselvesSees(t *testing.T) {
	f, keys := folderWithKeys(t)
	inner := &testing.T{}
	wantNoDigits(inner, "key", fmt.Sprintf("%+v", keys[0]), keys[0])
	if !inner.Failed() || len(f.Exposed) != 0 {
		t.Errorf("failed %v, exposed %v", inner.Failed(), f.Exposed)
	}
}

func TestExposedKeyFiles(t *testing.T) {
	files, err := TestFolder{Seed: []byte("secret")}.Files()
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data, Mode: 0o600}
	}
	fsys["supplier/xml-signing.key"].Mode = 0o640
	fsys["supplier/key-agreement.key"].Mode = 0o602
	fsys["supplier/digital-signing.pem"].Mode = 0o644 // no secret
	fsys["dcc/transform.key"].Mode = 0o644            // not read
	f, err := LoadSupplier(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Exposed, " "); got != "supplier/xml-signing.key supplier/key-agreement.key" {
		t.Errorf("exposed: %s", got)
	}
}
