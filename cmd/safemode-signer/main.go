//go:build cgo

// Command safemode-signer holds the failed supplier's keys, which may be in a PKCS#11
// token. It is a binary of its own because a token needs cgo, and because the process that
// holds the keys is not the one that talks to the network.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}
