package portfolio

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"safemode/servicerequests"
)

// ReadSuppressed reads the list of devices that are not to be touched: one
// EUI-64 a line; blank lines and what follows a # do not count. One line that
// cannot be read refuses the list: a device that was to be left alone must not
// be touched for a typing mistake.
func ReadSuppressed(r io.Reader) (map[servicerequests.EUI]struct{}, error) {
	devices := map[servicerequests.EUI]struct{}{}
	scanner := bufio.NewScanner(r)
	for line := 1; scanner.Scan(); line++ {
		text, _, _ := strings.Cut(scanner.Text(), "#")
		if line == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		eui, err := servicerequests.ParseEUI(text)
		if err != nil {
			return nil, fmt.Errorf("suppress list: line %d: %w", line, err)
		}
		devices[eui] = struct{}{}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("suppress list: %w", err)
	}
	return devices, nil
}
