package config

import "embed"

// Examples are the commented examples of the files that a night needs, by their names.
//
//go:embed safemode.example.yaml direction.example.yaml people.example.yaml mpids.example.yaml freeze.example.yaml
var Examples embed.FS
