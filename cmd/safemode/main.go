// Command safemode puts the prepayment meters of a failed energy supplier into
// safe mode through the DCC, and rehearses that against a simulated one.
//
// This package wires: flags and files in, exit codes and text out. What the
// words mean is decided in engine, devicesim and servicerequests.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"safemode/engine/heap"
)

func main() {
	heap.Grow(heap.Floor)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}
