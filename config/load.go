package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"safemode/servicerequests/safefile"
	"safemode/servicerequests/strictyaml"
)

// Parse reads a configuration over the defaults. The error joins every fault of
// the file, each a [*strictyaml.Fault] with its path. Paths of files stay as
// they are written.
func Parse(b []byte) (*Config, error) {
	c := Default()
	if err := strictyaml.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// Load reads a configuration file. Relative paths in it are taken from the
// file's own folder, wherever the program was started.
func Load(path string) (*Config, error) {
	c := Default()
	if err := load(path, "configuration: ", &c); err != nil {
		return nil, err
	}
	c.anchor(filepath.Dir(path))
	return &c, nil
}

// load reads a file over the defaults. What says which it is, where it cannot be read.
func load(path, what string, over interface{ Validate() error }) error {
	text, err := safefile.Read(path, safefile.Small, safefile.Own)
	if err != nil {
		return fmt.Errorf("%s%w", what, err)
	}
	if err := strictyaml.Unmarshal(text, over); err != nil {
		return fmt.Errorf("%s:\n%w", path, err)
	}
	return nil
}

// anchor makes relative paths start at a folder.
func (c *Config) anchor(folder string) {
	paths := []*string{
		&c.Journal.CheckpointKey, &c.SuppressFile, &c.Transfers.File, &c.DCC.TLS.Certificate, &c.DCC.TLS.Key, &c.DCC.TLS.Authorities,
		&c.Inbox.TLS.Certificate, &c.Inbox.TLS.Key, &c.Inbox.TLS.Authorities,
		&c.Operations.TLS.Certificate, &c.Operations.TLS.Key, &c.Operations.TokenFile, &c.Operations.LookTokenFile, &c.Operations.PeopleFile,
	}
	for _, list := range [][]string{c.DCC.TransformCertificates, c.DCC.XMLSigningCertificates, c.DCC.S1SPCertificates, c.DCC.Authorities} {
		for i := range list {
			paths = append(paths, &list[i])
		}
	}
	for i := range c.Identities {
		paths = append(paths, &c.Identities[i].PKIDir)
	}
	paths = append(paths, &c.Signer.Socket, &c.Signer.TLS.Certificate, &c.Signer.TLS.Key, &c.Signer.TLS.Authorities)
	paths = append(paths, &c.Notices.Webhook.KeyFile, &c.Notices.Webhook.Authorities, &c.Notices.SMTP.PasswordFile, &c.Notices.SMTP.Authorities)
	paths = append(paths, &c.Roster.File, &c.Roster.SignedBy, &c.Gates.MPIDsFile, &c.Gates.FreezeFile)
	for _, lists := range [...][]string{c.Gates.RevocationLists, c.Gates.PeerRevocationLists} {
		for i, list := range lists {
			if !isURL(list) {
				paths = append(paths, &lists[i])
			}
		}
	}
	if !IsDatabase(c.CustodyDir) {
		paths = append(paths, &c.CustodyDir)
	}
	anchorPaths(folder, paths)
}

func anchorPaths(folder string, paths []*string) {
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
}

// IsDatabase tells the address of a database from a file's path.
func IsDatabase(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// isURL tells a URL from a file's path.
func isURL(text string) bool {
	return strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")
}
