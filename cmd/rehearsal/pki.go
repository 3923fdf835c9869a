package rehearsal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"safemode/cmd/cli"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/servicerequests/smki"
)

// Seed is the seed of everything random, as smki takes it.
func Seed(seed uint64) []byte {
	return []byte("safemode test seed " + strconv.FormatUint(seed, 10))
}

// WritePKI makes a test folder and returns the names of its files. It never
// writes into a folder that holds something, and leaves nothing of one that could
// not be finished.
func WritePKI(dir string, t smki.TestFolder) (_ []string, err error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("%s is not empty: name a new folder", dir))
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, cli.Fail(cli.Failed, err)
	}
	files, err := t.Files()
	if err != nil {
		return nil, cli.Fail(cli.Failed, err)
	}
	if err := errors.Join(addRoster(files), addTLS(files, t)); err != nil {
		return nil, cli.Fail(cli.Failed, err)
	}
	names := slices.Sorted(maps.Keys(files))
	defer func() {
		if err != nil {
			for _, name := range names {
				part, _, _ := strings.Cut(name, "/")
				err = errors.Join(err, os.RemoveAll(filepath.Join(dir, part)))
			}
		}
	}()
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := cli.MakeDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
		if err := cli.WriteFile(path, 0o600, durable.Bytes(files[name])); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// addRoster adds the roster of a test folder's people, signed by its recorder.
func addRoster(files map[string][]byte) error {
	var roster direction.Roster
	for _, person := range [...]struct {
		file string
		role direction.Role
	}{
		{"approvers/alice", direction.Approver},
		{"approvers/bob", direction.Approver},
		{"staff/olga", direction.Operator},
		{"staff/rita", direction.Recorder},
	} {
		cert, err := smki.ParseCertificatePEM(files[person.file+".pem"])
		if err != nil {
			return err
		}
		roster.People = append(roster.People, direction.Person{Name: cert.CommonName, Roles: []direction.Role{person.role}, Certificate: cert})
	}
	key, err := smki.ParsePrivateKeyPEM(files["staff/rita.key"])
	if err != nil {
		return err
	}
	files["roster.yaml"] = direction.FormatRoster(&roster)
	files["roster.yaml"+direction.SignatureSuffix], err = direction.Sign(key, files["roster.yaml"])
	return err
}
