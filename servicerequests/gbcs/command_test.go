package gbcs_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

func TestDecodeCommandVectors(t *testing.T) {
	want := map[string]gbcs.Command{
		"ECS02": {Mode: servicerequests.Credit},
		"GCS02": {Mode: servicerequests.Credit, IssuedAt: vectorTime},
		"ECS03": {Mode: servicerequests.Prepayment, SuspendDebtEmergency: true, SuspendDebtDisabled: true, DisablementThreshold: 556677},
		"GCS03": {Mode: servicerequests.Prepayment, IssuedAt: vectorTime}, // 0897: neither flag
		"GCS39": {IssuedAt: vectorTime},
		"GCS32": {IssuedAt: vectorTime},
	}
	decoded := 0
	for _, v := range loadVectors(t) {
		if v.Kind != "command" && v.Kind != "precommand" {
			continue
		}
		decoded++
		m := parse(t, unhex(t, v.Hex))
		c, err := gbcs.DecodeCommand(m)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if c.UseCase.Name != v.UseCase || c.UseCase.SRV != v.SRV {
			t.Errorf("%s: use case %s, SRV %s", v.Name, c.UseCase.Name, c.UseCase.SRV)
		}
		w := want[v.UseCase]
		w.When = gbcs.Immediate
		if diff := cmp.Diff(w, c, cmpopts.IgnoreFields(gbcs.Command{}, "UseCase")); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", v.Name, diff)
		}
		requireWholePayload(t, v.Name, m, func(m *gbcs.Message) error {
			_, err := gbcs.DecodeCommand(m)
			return err
		})
		if _, err := gbcs.DecodeResponse(m); !errors.Is(err, gbcs.ErrPayload) {
			t.Errorf("%s decodes as a Response: %v", v.Name, err)
		}
		if _, err := gbcs.DecodeAlert(m); !errors.Is(err, gbcs.ErrPayload) {
			t.Errorf("%s decodes as an Alert: %v", v.Name, err)
		}
	}
	if decoded != 38 {
		t.Errorf("%d Commands and Pre-Commands, want 38", decoded)
	}
}

// requireWholePayload checks that no payload with a byte more or less decodes.
func requireWholePayload(t *testing.T, name string, m *gbcs.Message, decode func(*gbcs.Message) error) {
	t.Helper()
	for _, payload := range [][]byte{nil, m.Payload[:len(m.Payload)-1], append(bytes.Clone(m.Payload), 0), append(bytes.Clone(m.Payload), 1)} {
		changed := *m
		changed.Payload = payload
		if err := decode(&changed); !errors.Is(err, gbcs.ErrPayload) {
			t.Errorf("%s with %d payload bytes for %d: %v, want ErrPayload", name, len(payload), len(m.Payload), err)
		}
	}
}

func TestDecodeCommandTimes(t *testing.T) {
	at := time.Date(2030, 1, 15, 9, 0, 0, 0, time.UTC)
	gas := parse(t, unhex(t, find(t, "GCS02_1.6_IMMEDIATE_SUCCESS_PRECOMMAND").Hex))
	for _, c := range []struct {
		wire string
		when gbcs.When
		at   time.Time
	}{{"00000000", gbcs.Immediate, time.Time{}}, {"ffffffff", gbcs.Cancel, time.Time{}}, {"90888138", gbcs.AtTime, at}} {
		m := *gas
		m.Payload = bytes.Clone(gas.Payload)
		copy(m.Payload[19:], unhex(t, c.wire))
		got, err := gbcs.DecodeCommand(&m)
		if err != nil || got.When != c.when || !got.At.Equal(c.at) {
			t.Errorf("GCS02 %s: %v at %v, %v", c.wire, got.When, got.At, err)
		}
	}
	power := parse(t, unhex(t, find(t, "ECS03_1.6_IMMEDIATE_SINGLE_SUCCESS_PRECOMMAND").Hex))
	const timeLength = 14
	with := func(threshold, account string) (gbcs.Command, error) {
		m := *power
		m.Payload = bytes.Clone(power.Payload)
		copy(m.Payload[len(m.Payload)-2*timeLength+2:], unhex(t, threshold))
		copy(m.Payload[len(m.Payload)-timeLength+2:], unhex(t, account))
		return gbcs.DecodeCommand(&m)
	}
	const now, never, dated = "0000000000000000008000ff", "ffffffffffffffffff8000ff", "07ee010fff090000008000ff"
	if c, err := with(dated, dated); err != nil || c.When != gbcs.AtTime || !c.At.Equal(at) {
		t.Errorf("dated: %+v, %v", c, err)
	}
	if c, err := with(never, never); err != nil || c.When != gbcs.Cancel {
		t.Errorf("never: %+v, %v", c, err)
	}
	for _, bad := range [][2]string{
		{now, never},
		{dated, now},
		{"07ee020fff090000008000ff", dated},
		{"07ee021fff090000008000ff", "07ee021fff090000008000ff"}, // 31 February
		{"07ee010fff180000008000ff", "07ee010fff180000008000ff"}, // 24 o'clock
		{"07ee010fff0900000080003c", "07ee010fff0900000080003c"}, // 3C: a clock status that never occurs here
	} {
		if c, err := with(bad[0], bad[1]); !errors.Is(err, gbcs.ErrPayload) {
			t.Errorf("times %v: %+v, %v, want ErrPayload", bad, c, err)
		}
	}
}

// Every payment control configuration but five is refused.
func TestPaymentControl(t *testing.T) {
	known := 0
	for _, name := range []string{"GCS02_1.6_IMMEDIATE_SUCCESS_PRECOMMAND", "GCS03_1.6_IMMEDIATE_SUCCESS_PRECOMMAND"} {
		m := parse(t, unhex(t, find(t, name).Hex))
		m.Payload = bytes.Clone(m.Payload)
		for value := range 0x10000 {
			m.Payload[23], m.Payload[24] = byte(value), byte(value>>8)
			c, err := gbcs.DecodeCommand(m)
			if err != nil {
				continue
			}
			known++
			want := map[int]gbcs.Command{
				0x0C94: {Mode: servicerequests.Credit},
				0x0497: {Mode: servicerequests.Prepayment, SuspendDebtEmergency: true, SuspendDebtDisabled: true},
				0x0097: {Mode: servicerequests.Prepayment, SuspendDebtEmergency: true},
				0x0C97: {Mode: servicerequests.Prepayment, SuspendDebtDisabled: true},
				0x0897: {Mode: servicerequests.Prepayment},
			}[value]
			if c.Mode != want.Mode || c.SuspendDebtEmergency != want.SuspendDebtEmergency || c.SuspendDebtDisabled != want.SuspendDebtDisabled {
				t.Errorf("%s with %04X: %+v", name, value, c)
			}
		}
	}
	if known != 5 {
		t.Errorf("%d payment control configurations decode, want 5", known)
	}
}

func TestDecodeUnknownCode(t *testing.T) {
	for _, name := range []string{"ECS09_2.5_SUCCESS_PRECOMMAND", "ECS09_2.5_SUCCESS_RESPONSE"} {
		m := parse(t, unhex(t, find(t, name).Hex))
		m.Code = 0x0055
		if _, err := gbcs.DecodeCommand(m); !errors.Is(err, gbcs.ErrUnknownUseCase) {
			t.Errorf("DecodeCommand: %v", err)
		}
		if _, err := gbcs.DecodeResponse(m); !errors.Is(err, gbcs.ErrUnknownUseCase) {
			t.Errorf("DecodeResponse: %v", err)
		}
	}
	m := parse(t, unhex(t, find(t, "GCA-DLMS_NA_8F30_ALERT").Hex))
	m.Code = 0x0055
	if _, err := gbcs.DecodeAlert(m); !errors.Is(err, gbcs.ErrUnknownUseCase) {
		t.Errorf("DecodeAlert: %v", err)
	}
}
