//go:build crashtest

package engine

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// keepEvery is short, so that a process that is killed soon has kept a state more than once.
const keepEvery = 300 * time.Millisecond

// crashAt is "point:n": the process kills itself when it passes that point for the
// nth time. Only a binary with the build tag crashtest reads it.
var crashAt = os.Getenv("SAFEMODE_CRASH_AT")

var passed atomic.Int64

var passing = func(point string) {
	name, text, ok := strings.Cut(crashAt, ":")
	if !ok || name != point {
		return
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic("SAFEMODE_CRASH_AT: " + err.Error())
	}
	if passed.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // nothing happens after the kill, not even for a moment
	}
}
