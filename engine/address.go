package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"safemode/engine/console"
	"safemode/engine/inbox"
	"safemode/engine/listen"
)

// ownFiles are the descriptors of journal, index, custody, checkpoints, evidence and the
// SMKI service, with room for each to be opened again.
const ownFiles = 128

// listenInbox and listenOperations bind the addresses. Each gets a share of the descriptors
// that the sweep does not need for its files and its connections to the DCC.

func (e *Engine) listenInbox(ctx context.Context) error {
	spare, err := e.spare()
	if err != nil {
		return err
	}
	in := e.o.Inbox
	in.Connections, in.Unknown = atMost(in.Connections, 512, spare/2), atMost(in.Unknown, 512, spare/4)
	if e.inbox, err = inbox.Listen(ctx, in); err != nil {
		return fmt.Errorf("inbox.listen: %w%s", err, taken(err))
	}
	return nil
}

func (e *Engine) listenOperations(ctx context.Context) error {
	operations := e.o.Operations
	if operations.Listen == "" {
		return nil
	}
	spare, err := e.spare()
	if err != nil {
		return err
	}
	operations.Connections, operations.Unknown = atMost(operations.Connections, 128, spare/16), atMost(operations.Unknown, 256, spare/8)
	if e.console, err = console.Listen(ctx, operations); err != nil {
		return fmt.Errorf("operations.listen: %w%s", err, taken(err))
	}
	return nil
}

// taken adds to an error what to do about an address that is in use.
func taken(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return ": see whether this sweep runs already (safemode status); if not, name another address, or end what holds this one"
	}
	return ""
}

func (e *Engine) spare() (int, error) { return listen.Spare(ownFiles + 2*e.o.Workers) }

// atMost is a number of connections, usual where it is 0, within a share of descriptors.
func atMost(n, usual, share int) int { return min(cmp.Or(n, usual), share) }

// consoleOptions are what the console is made with, whether the engine sweeps or stands by.
func (e *Engine) consoleOptions() console.Options {
	a := &e.o.Operations
	return console.Options{
		Gatherer: e.o.Registry, Log: e.o.Log.Named("console"), Redact: a.Redact, Token: a.Token, LookToken: a.LookToken, People: a.People,
	}
}

// serveConsole serves the operations address. The function that it returns ends that, after
// the person who ordered the end has got an answer.
func (e *Engine) serveConsole(ctx context.Context, servers *sync.WaitGroup) (end func()) {
	server := console.Server(e.handler, e.o.Log.Named("console"))
	server.RegisterOnShutdown(func() { close(e.closing) })
	servers.Go(func() { e.serve(server, e.console) }) // ends with Shutdown or Close
	return func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close() // a client keeps its connection
		}
	}
}
