package config

import (
	"errors"
	"strings"
	"unicode"
)

// NightFile is the name of the file that Night is in.
const NightFile = "night.yaml"

// Night names the files of one night's folder, so that each command can print the next one
// with its files. It decides nothing: a command does what its own flags say. Paths are
// relative to the folder. An empty one is written as a word in capitals, for the reader to
// replace.
type Night struct {
	Config    string   `koanf:"config"`
	Direction string   `koanf:"direction"`
	Portfolio string   `koanf:"portfolio"`
	Plan      string   `koanf:"plan"`
	Journal   string   `koanf:"journal"`
	Report    string   `koanf:"report"`
	Custody   string   `koanf:"custody"`
	Recorder  string   `koanf:"recorder"`  // signs the direction; a person here is a path without .pem and .key
	Preparer  string   `koanf:"preparer"`  // signs the plan
	Approvers []string `koanf:"approvers"` // in the order in which they are asked
	Simulator []string `koanf:"simulator"` // words after `safemode sim`; none: there is no simulator
}

// Validate refuses what a terminal would not show as it is.
func (n *Night) Validate() error {
	var f faults
	words := []string{n.Config, n.Direction, n.Portfolio, n.Plan, n.Journal, n.Report, n.Custody, n.Recorder, n.Preparer}
	for _, list := range [...][]string{n.Approvers, n.Simulator} {
		words = append(words, list...)
	}
	for _, word := range words {
		f.check(strings.IndexFunc(word, func(r rune) bool { return !unicode.IsPrint(r) }) < 0, "night", "%q: want printable characters", word)
	}
	return errors.Join(f...)
}

// LoadNight reads a night's file.
func LoadNight(path string) (*Night, error) {
	var n Night
	if err := load(path, "", &n); err != nil {
		return nil, err
	}
	return &n, nil
}
