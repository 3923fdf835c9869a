package smki_test

import (
	"errors"
	"fmt"
	"time"

	"safemode/servicerequests/smki"
)

// A root issues a supplier's certificate. Only those who trust that root accept it.
func Example() {
	seed := []byte("an example's seed, known to all")
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	root := func(name string) *smki.Authority {
		key, err := smki.DeriveTestKey(seed, name)
		if err != nil {
			panic(err)
		}
		a, err := smki.NewRoot(smki.Template{Role: smki.Root, CommonName: name, NotBefore: day, NotAfter: day.AddDate(20, 0, 0)}, key)
		if err != nil {
			panic(err)
		}
		return a
	}
	trusted, stranger := root("root"), root("stranger")

	key, err := smki.DeriveTestKey(seed, "supplier")
	if err != nil {
		panic(err)
	}
	issued, err := trusted.Issue(smki.Template{Role: smki.Supplier, EUI: smki.TestSupplier, Usage: smki.DigitalSignature, NotBefore: day, NotAfter: day.AddDate(10, 0, 0)}, &key.PublicKey)
	if err != nil {
		panic(err)
	}
	read, err := smki.ParseCertificate(issued.Raw)
	if err != nil {
		panic(err)
	}
	fmt.Println(read.Role, read.EUI, read.Usage)
	fmt.Println(smki.Trust([]*smki.Certificate{trusted.Certificate}).Verify(read))
	fmt.Println(errors.Is(smki.Trust([]*smki.Certificate{stranger.Certificate}).Verify(read), smki.ErrChain))
	// Output:
	// 02 (supplier) 90-B3-D5-1F-30-01-00-00 digitalSignature
	// <nil>
	// true
}
