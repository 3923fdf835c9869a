package config

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// People are those who may look at a running sweep, and those who may give it orders.
type People struct {
	People []Person `koanf:"people"`
}

// Person is known by a token, of which the file holds the digest only.
type Person struct {
	Name        string `koanf:"name"`
	Role        string `koanf:"role"`         // operator, viewer or approver
	TokenSHA256 string `koanf:"token_sha256"` // 64 hexadecimal digits
}

// The roles.
const (
	Operator = "operator" // gives orders, and looks
	Viewer   = "viewer"   // looks
	Approver = "approver" // looks; approves with a key of their own, and never at that address
)

// Validate checks every rule and joins all faults.
func (p *People) Validate() error {
	var f faults
	f.check(len(p.People) > 0, "people", "required: name one or more")
	names, tokens := map[string]bool{}, map[string]bool{}
	for i, person := range p.People {
		path := fmt.Sprintf("people[%d]", i)
		f.required(path+".name", person.Name)
		f.check(!names[person.Name], path+".name", "%q is named already", person.Name)
		f.oneOf(path+".role", person.Role, Operator, Viewer, Approver)
		digest, err := hex.DecodeString(person.TokenSHA256)
		f.check(err == nil && len(digest) == 32, path+".token_sha256", "want the 64 hexadecimal digits of a SHA-256")
		f.check(!tokens[person.TokenSHA256], path+".token_sha256", "another has the same token")
		names[person.Name], tokens[person.TokenSHA256] = true, true
	}
	return errors.Join(f...)
}

// LoadPeople reads the file of people.
func LoadPeople(path string) (*People, error) {
	var p People
	if err := load(path, "", &p); err != nil {
		return nil, err
	}
	return &p, nil
}
