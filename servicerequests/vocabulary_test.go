package servicerequests_test

import (
	"errors"
	"strings"
	"testing"

	"safemode/servicerequests"
)

func TestParseEUI(t *testing.T) {
	const want = servicerequests.EUI(0x90B3D51F30010000)
	for _, text := range []string{"90-B3-D5-1F-30-01-00-00", "90-b3-d5-1f-30-01-00-00", "90B3D51F30010000", "90b3d51f30010000"} {
		got, err := servicerequests.ParseEUI(text)
		if err != nil || got != want {
			t.Errorf("ParseEUI(%q) = %v, %v", text, got, err)
		}
	}
	if got := want.String(); got != "90-B3-D5-1F-30-01-00-00" {
		t.Errorf("String() = %q", got)
	}
	for _, text := range []string{
		"", "90-B3", "90:B3:D5:1F:30:01:00:00", "90-B3-D5-1F-30-01-00-0G", "90B3D51F300100000", "90-B3-D5-1F-30-01-0000",
		"00-00-00-00-00-00-00-00", " 90B3D51F3001000", "+0B3D51F30010000",
	} {
		if got, err := servicerequests.ParseEUI(text); err == nil {
			t.Errorf("ParseEUI(%q) = %v, want an error", text, got)
		}
	}
}

func TestParseRequestID(t *testing.T) {
	const text = "90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1000"
	id, err := servicerequests.ParseRequestID(text)
	if err != nil || id.String() != text || id.Counter != 1000 {
		t.Fatalf("ParseRequestID = %v, %v", id, err)
	}
	if got := id.Reversed().String(); got != "00-DB-12-34-56-78-90-A0:90-B3-D5-1F-30-01-00-00:1000" {
		t.Errorf("Reversed() = %q", got)
	}
	if got, err := servicerequests.ParseRequestID(strings.ToLower(text)); err != nil || got != id {
		t.Errorf("lower case: %v, %v", got, err)
	}
	for _, wrong := range []string{
		"", text + ":1", strings.TrimSuffix(text, "1000") + "0", strings.TrimSuffix(text, "1000") + "01000",
		strings.TrimSuffix(text, "1000") + "+1", strings.TrimSuffix(text, "1000") + "9223372036854775808",
		"90B3D51F30010000:00DB1234567890A0:1000",
	} {
		if got, err := servicerequests.ParseRequestID(wrong); err == nil {
			t.Errorf("ParseRequestID(%q) = %v, want an error", wrong, got)
		}
	}
}

func TestPermittedSet(t *testing.T) {
	want := map[string]bool{"2.5": true, "1.6/credit": true, "7.3": true, "7.4": true, "6.2.9": true, "4.18": true, "4.13": true, "8.2": true}
	for _, v := range servicerequests.Catalogue() {
		key, mode := v.SRV, ""
		if v.Mode != servicerequests.UnknownMode {
			mode = v.Mode.String()
			key += "/" + mode
		}
		service, err := servicerequests.ParseService(v.SRV, mode)
		if v.Service() != service || (err == nil) != want[key] {
			t.Errorf("%s (%s): service %v, ParseService %v, %v", key, v.Name, v.Service(), service, err)
		}
		if err != nil {
			if !errors.Is(err, servicerequests.ErrNotPermitted) || !strings.Contains(err.Error(), v.Name) {
				t.Errorf("%s is not refused by name: %v", key, err)
			}
			continue
		}
		if row, ok := service.Variant(); !ok || row.Name != v.Name {
			t.Errorf("%s: service %v has row %q", key, service, row.Name)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("not in the catalogue: %v", want)
	}
	for _, s := range []servicerequests.Service{0, servicerequests.ReadInventory + 1, 255} {
		if _, ok := s.Variant(); ok {
			t.Errorf("service %d has a row", s)
		}
	}
	for _, c := range [][2]string{{"1.6", ""}, {"1.6", "prepayment"}, {"1.6", "CREDIT"}, {"7.1", ""}, {"7.2", ""}, {"4.3", ""}, {"9.9", ""}, {"", ""}} {
		if s, err := servicerequests.ParseService(c[0], c[1]); !errors.Is(err, servicerequests.ErrNotPermitted) {
			t.Errorf("ParseService(%q, %q) = %v, %v; want a refusal", c[0], c[1], s, err)
		}
	}
}

func TestOnlyKnownCodesAreActedOn(t *testing.T) {
	for code, want := range map[servicerequests.ResponseCode]servicerequests.CodeClass{
		"I0": servicerequests.CodeSuccess, "I99": servicerequests.CodeAcknowledged,
		"E1": servicerequests.CodeHalt, "E2": servicerequests.CodeHalt, "E3": servicerequests.CodeHalt,
		"E4": servicerequests.CodeUnregistered, "E19": servicerequests.CodeInvalid,
		"E20": servicerequests.CodeUnreachable, "E21": servicerequests.CodeNoResponse, "E30": servicerequests.CodeNoResponse,
		"E55": servicerequests.CodeHeld, "": servicerequests.CodeHeld, "i0": servicerequests.CodeHeld, "I1": servicerequests.CodeHeld,
	} {
		if got := code.Class(); got != want {
			t.Errorf("%q: class %d, want %d", code, got, want)
		}
	}
}
