package portfolio

import (
	"errors"
	"fmt"
	"io"

	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// ReadSuppressed reads the list of devices that are not to be touched: one
// EUI-64 a line; blank lines and what follows a # do not count. One line that
// cannot be read refuses the list: a device that was to be left alone must not
// be touched for a typing mistake. So does a list without a device: one that is meant to be
// empty is not given at all.
func ReadSuppressed(r io.Reader) (map[servicerequests.EUI]struct{}, error) {
	devices := map[servicerequests.EUI]struct{}{}
	for line, err := range table.Lines(r) {
		if err != nil {
			return nil, fmt.Errorf("suppress list: %w", err)
		}
		eui, err := servicerequests.ParseEUI(line.Text)
		if err != nil {
			return nil, fmt.Errorf("suppress list: line %d: %w", line.Number, err)
		}
		devices[eui] = struct{}{}
	}
	if len(devices) == 0 {
		return nil, errors.New("suppress list: it names none: leave the file out if none is meant")
	}
	return devices, nil
}
