package gbcs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

func TestAlertVectors(t *testing.T) {
	dated := time.Date(2030, 1, 15, 9, 0, 0, 0, time.UTC)
	account := [6]byte{0, 1, 19, 0, 0, 255}
	want := map[string]gbcs.Alert{
		"ECS02_1.6_8F66_FUTURE_DATED_TWIN_SUCCESS_ALERT_PAYMENT_MODE": {
			Code: 0x8F66, At: dated,
			FutureDated: &gbcs.FutureDated{Code: 0x1A, Counter: 1005, Class: 111, OBIS: account, Attribute: 13},
		},
		"ECS03_1.6_8F66_FUTURE_DATED_TWIN_SUCCESS_ALERT_PAYMENT_MODE": {
			Code: 0x8F66, At: dated,
			FutureDated: &gbcs.FutureDated{Code: 0x1B, Counter: 1011, Class: 111, OBIS: account, Attribute: 13},
		},
		"ECS03_1.6_8F66_FUTURE_DATED_TWIN_SUCCESS_ALERT_DISABLEMENT_THRESHOLD": {
			Code: 0x8F66, At: dated,
			FutureDated: &gbcs.FutureDated{Code: 0x1B, Counter: 1011, Class: 9000, OBIS: [6]byte{0, 0, 94, 44, 128, 22}, Attribute: 6},
		},
		"GCS02_1.6_8F66_FUTURE_DATED_SUCCESS_ALERT_CHANGE_PAYMENT_MODE": {
			Code: 0x8F66, Gas: true, At: dated,
			FutureDated: &gbcs.FutureDated{Code: 0x6C, Counter: 1001, Cluster: 0x0705, FrameControl: 1, Command: 6},
		},
		"GCS03_1.6_8F66_FUTURE_DATED_SUCCESS_ALERT_CHANGE_PAYMENT_MODE": {
			Code: 0x8F66, Gas: true, At: dated.Add(-9 * time.Hour),
			FutureDated: &gbcs.FutureDated{Code: 0x6D, Counter: 1005, Cluster: 0x0705, FrameControl: 1, Command: 6},
		},
		"GCA-DLMS_NA_8F30_ALERT":    {Code: 0x8F30, At: vectorTime},
		"GCA-ZigBee_NA_8F30_ALERT":  {Code: 0x8F30, Gas: true, At: vectorTime},
		"GNCA-DLMS_NA_810E_ALERT":   {Code: 0x810E, At: vectorTime},
		"GNCA-ZigBee_NA_810E_ALERT": {Code: 0x810E, Gas: true, At: vectorTime},
	}
	for _, v := range ofKind(t, "alert", 9) {
		m := parse(t, unhex(t, v.Hex))
		got, err := gbcs.DecodeAlert(m)
		if diff := cmp.Diff(want[v.Name], got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", v.Name, err, diff)
			continue
		}
		if got.MessageCode() != m.Code {
			t.Errorf("%s: message code %04X", v.Name, got.MessageCode())
		}
		if b, err := gbcs.AppendAlertPayload(nil, m.Counter, got); err != nil || !bytes.Equal(b, m.Payload) {
			t.Errorf("%s encoded: %v\n%x\nwant\n%x", v.Name, err, b, m.Payload)
		}
		decode := func(m *gbcs.Message) error {
			_, err := gbcs.DecodeAlert(m)
			return err
		}
		requireWholePayload(t, v.Name, m, decode)
		for _, code := range []uint16{0x00CC, 0x00CD, 0x1000, 0x1001} {
			changed := *m
			if changed.Code = code; code != m.Code {
				if err := decode(&changed); !errors.Is(err, gbcs.ErrPayload) {
					t.Errorf("%s as %04X: %v, want ErrPayload", v.Name, code, err)
				}
			}
		}
		changed := *m
		if changed.Signature, changed.MAC = nil, m.Signature; changed.MAC == nil {
			changed.Signature = make([]byte, 64)
		}
		if err := decode(&changed); !errors.Is(err, gbcs.ErrPayload) {
			t.Errorf("%s with the other protection: %v, want ErrPayload", v.Name, err)
		}
	}
}

func TestAlertTimes(t *testing.T) {
	if _, err := gbcs.AppendAlertPayload(nil, 1, gbcs.Alert{Code: 0x8F32}); err == nil {
		t.Error("alert without a time encoded")
	}
	if _, err := gbcs.AppendAlertPayload(nil, 1, gbcs.Alert{Code: 0x8F32, Gas: true, At: time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC)}); err == nil {
		t.Error("gas alert of 1970 encoded")
	}
	// A clock that does not know its time must not hide the alert.
	m := parse(t, unhex(t, find(t, "GCA-DLMS_NA_8F30_ALERT").Hex))
	m.Payload = bytes.Clone(m.Payload)
	copy(m.Payload[len(m.Payload)-12:], bytes.Repeat([]byte{0xFF}, 9))
	if a, err := gbcs.DecodeAlert(m); err != nil || !a.At.IsZero() || a.Code != 0x8F30 {
		t.Errorf("unknown time: %+v, %v", a, err)
	}
}

func TestDateTime(t *testing.T) {
	at := time.Date(2030, 12, 31, 23, 59, 58, 999, time.FixedZone("", 3600))
	d := gbcs.NewDateTime(at, 4)
	if got, ok := d.Time(); !ok || !got.Equal(at.Truncate(time.Second)) || d.ClockStatus() != 4 {
		t.Errorf("%x is %v, %v, status %02X", d, got, ok, d.ClockStatus())
	}
	h := gbcs.Header{CRA: gbcs.CRACommand, Counter: 9, Originator: 1, Target: 2, Code: 0x1A}
	want := gbcs.Header{CRA: gbcs.CRAResponse, Counter: 9, Originator: 2, Target: 1, Code: 0x1A, HasDateTime: true, DateTime: d}
	if diff := cmp.Diff(want, h.Response(d)); diff != "" {
		t.Error(diff)
	}
	h.Code = 0x20
	want = gbcs.Header{CRA: gbcs.CRAResponse, Counter: 9, Originator: 2, Target: 1, Code: 0x20}
	if diff := cmp.Diff(want, h.Response(d)); diff != "" {
		t.Error(diff)
	}
}

func TestDescribeVectors(t *testing.T) {
	for _, v := range loadVectors(t) {
		m := parse(t, unhex(t, v.Hex))
		d := gbcs.Describe(m)
		if d.Error != "" || d.UseCase != v.UseCase || d.MessageCode != v.Parsed.MessageCode || d.Payload != v.Parsed.Payload {
			t.Errorf("%s: %+v", v.Name, d)
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		var object map[string]any
		if err := json.Unmarshal(b, &object); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"kind", "use_case", "message_code", "originator", "target", "counter", "payload", "signature", "mac"} {
			if _, ok := object[key]; !ok {
				t.Errorf("%s: no %q in %s", v.Name, key, b)
			}
		}
		if (object["signature"] == nil) == v.Signature.Present || (object["mac"] == nil) == v.MAC.Present {
			t.Errorf("%s: signature %v, mac %v", v.Name, object["signature"], object["mac"])
		}
		if c := d.Command; c != nil {
			u, _ := gbcs.LookupUseCase(m.Code)
			if c.Permitted != (u.Service != 0) {
				t.Errorf("%s: permitted %v", v.Name, c.Permitted)
			}
		}
	}
	unknown := parse(t, gbcs.AppendMessage(nil, gbcs.Header{CRA: gbcs.CRACommand, Counter: 1, Originator: 1, Target: servicerequests.EUI(2), Code: 0x0F0F}, nil))
	if d := gbcs.Describe(unknown); d.UseCase != "unknown" || d.Note == "" || d.Error != "" {
		t.Errorf("unknown code: %+v", d)
	}
}
