//go:build !crashtest

package engine

import "time"

// keepEvery is the real time between two states that the journal keeps.
const keepEvery = 30 * time.Second

// passing marks an instant before or after a durable step. It does nothing. Tests replace it,
// and a binary for crash tests is built with the tag crashtest.
var passing = func(string) {}
