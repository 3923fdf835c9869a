//go:build !crashtest

package engine

// passing marks an instant before or after a durable step. It does nothing; a
// binary for crash tests is built with the tag crashtest.
func passing(string) {}
