package smki

import (
	"crypto/sha256"
	"encoding/hex"
)

// publishedKeys are the keys of DCC's ZAZ1 test set whose private halves anybody
// can download: SHA-256 over the uncompressed point, in hexadecimal.
var publishedKeys = map[string]struct{}{
	"d6dc8da2c462c4b524dc0262b48a3cfe30a55b95cf7f98ae9f02bf3a0a6781a6": {}, // supplier, digitalSignature
	"8f930e057255c3681946652c834b6d59b3d55622f606d7d97a82d3dafcb568c8": {}, // supplier, keyAgreement
	"0baf8ad1037b63bc74fb2e533eba9a71dbf3ff85131e0fe552ad37f19e3cb17d": {}, // second supplier, digitalSignature
	"83dd4afff88c0ac13d60b79a7163a6381a17577c0cc711f8aed5da8c135f8d86": {}, // second supplier, keyAgreement
	"0082475c56a31de61f0721d6faf4e573f7c82db013c775e0e53a6343cfede5f1": {}, // access control broker, digitalSignature
	"b68546c07ad1b279ffcd28e8cfd3fcf1c0ba656a4290ec713cc4b7602cb00540": {}, // access control broker, keyAgreement
}

// IsPublished says whether the private key is, or may be, known to everybody: the
// certificate is of DCC's public ZAZ1 set (issuer CN Z1 or OB, OU 07), or has one
// of that set's keys, whoever issued it.
func (c *Certificate) IsPublished() bool {
	if c.issuer.unit == "07" && (c.issuer.commonName == "Z1" || c.issuer.commonName == "OB") {
		return true
	}
	if c.PublicKey == nil { // no certificate that was parsed
		return false
	}
	point, err := c.PublicKey.Bytes() // never fails for a key on P-256
	if err != nil {
		return false
	}
	digest := sha256.Sum256(point)
	_, known := publishedKeys[hex.EncodeToString(digest[:])]
	return known
}
