// Command safemode puts the prepayment meters of a failed energy supplier into safe mode
// through the DCC, and rehearses that with a simulated one.
//
// This package connects the others: it turns flags and files into options, and results into
// exit codes and text. The rules are in engine, devicesim and servicerequests.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"safemode/engine/heap"
)

func main() {
	heap.Grow(heap.Floor)
	// A reader that goes away does not end the sweep: the write to the broken pipe only fails.
	signal.Ignore(syscall.SIGPIPE)
	// In the background it writes lines, whatever the terminal says of that (stty tostop): a
	// sweep that stops for its output has its answers time out.
	signal.Ignore(syscall.SIGTTOU)
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	talk := newTalk(os.Stderr)
	log.SetOutput(talk) // of libraries
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, talk})
	stop()
	talk.flush(2 * time.Second)
	os.Exit(code)
}
