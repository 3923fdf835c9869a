package report_test

import (
	"strings"
	"testing"

	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/heaptest"
)

// FuzzReadList: a list is taken as a whole or not at all, and no device of it is 0.
func FuzzReadList(f *testing.F) {
	f.Add("device_id,device_status,mpxn,transfer_date\n00-DB-12-E0-81-5F-B8-B8,Commissioned,1200000000002,2026-11-30\n")
	f.Add("\ufeffdevice_id\r\n00-DB-12-E0-81-5F-B8-B8\r\n")
	f.Add("device_id;mpxn\n1;2\n")
	f.Fuzz(func(t *testing.T, text string) {
		var list report.List
		var err error
		heaptest.Limit(t, len(text), func() { list, err = report.ReadList(strings.NewReader(text)) })
		if err != nil {
			return
		}
		for eui, listed := range list {
			if eui == 0 || strings.TrimSpace(listed.Status) != listed.Status || !strings.Contains(strings.ToLower(text), lastOctet(eui)) {
				t.Fatalf("%v: %+v", eui, listed)
			}
		}
	})
}

func lastOctet(eui servicerequests.EUI) string {
	text := strings.ToLower(eui.String())
	return text[len(text)-2:]
}
