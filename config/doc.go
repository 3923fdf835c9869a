// Package config owns the configuration file: its keys, their defaults and what
// may be written there. It holds plain values and imports nothing of the engine;
// only the command line imports it.
//
// The file is YAML with lower_snake_case keys. Reading is strict: an unknown key,
// a value of the wrong type or out of range is an error with the key's path, and
// all faults are reported together. Durations are Go's (90s, 24h), amounts are
// pounds in quotes ("2.00").
//
// No public source gives DCC's limits, wake intervals or retry windows. The
// defaults for them are assumptions; safemode.example.yaml marks each.
package config
