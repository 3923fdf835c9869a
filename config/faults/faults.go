// Package faults holds the ready fault profiles of the simulator, a commented
// YAML file each. The file's name without .yaml is the profile's. Package
// devicesim/fault says what the keys mean and reads them.
package faults

import "embed"

// Files are the profiles.
//
//go:embed *.yaml
var Files embed.FS
