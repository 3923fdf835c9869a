package portfolio

import (
	"errors"
	"fmt"
	"io"

	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// ReadSuppressed reads the list of devices that must be left alone: one EUI-64 a line; blank
// lines and what follows a # are ignored. One line that cannot be read makes the whole list an
// error, so that a typing mistake does not expose a device. So does a list without a device: a
// list that is meant to be empty is not given at all.
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
