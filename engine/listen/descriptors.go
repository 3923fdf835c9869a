package listen

import (
	"fmt"
	"syscall"
)

// least is the fewest descriptors with which the addresses are of any use.
const least = 64

// Spare says how many file descriptors the addresses of this process may share, when own
// of those that the system lets it open are for its files and for what it connects to.
// The error says how many are needed.
func Spare(own int) (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Cur < uint64(own+least) {
		return 0, fmt.Errorf("the system lets this process open %d files: journal, custody and connections need %d; raise it with ulimit -n",
			limit.Cur, own+least)
	}
	return int(min(limit.Cur-uint64(own), 1<<20)), nil
}
