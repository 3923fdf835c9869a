package forbidden_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"safemode/devicesim/forbidden"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

const (
	supplier servicerequests.EUI = 0x90B3D51F30010000
	esme     servicerequests.EUI = 0x00DB1234567890A0
	gsme     servicerequests.EUI = 0x00DB1234567890A1
)

// The RTDS has its gas commands made at this instant.
var rtdsClock = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)

func request(target servicerequests.EUI, counter uint64) servicerequests.RequestID {
	return servicerequests.RequestID{Originator: supplier, Target: target, Counter: counter}
}

func TestPreCommandsAreTheVectors(t *testing.T) {
	vectors := map[string][]byte{}
	for _, v := range outside.Messages(t, "precommand") {
		vectors[v.Name] = v.Hex
	}
	tests := []struct {
		vector  string
		command forbidden.Command
	}{
		{"ECS42_7.1_SUCCESS_PRECOMMAND", forbidden.Command{
			Kind: forbidden.Enable, Device: servicerequests.ESME, ID: request(esme, 1000),
		}},
		{"ECS43_7.2_SUCCESS_PRECOMMAND", forbidden.Command{
			Kind: forbidden.Disable, Device: servicerequests.ESME, ID: request(esme, 1000),
		}},
		{"GCS32_7.2_SUCCESS_PRECOMMAND", forbidden.Command{
			Kind: forbidden.Disable, Device: servicerequests.GSME, ID: request(gsme, 1000),
		}},
		{"ECS03_1.6_IMMEDIATE_SINGLE_SUCCESS_PRECOMMAND", forbidden.Command{
			Kind: forbidden.ToPrepayment, Device: servicerequests.ESME, ID: request(esme, 1010),
			Prepayment: forbidden.Prepayment{SuspendDebtDisabled: true, SuspendDebtEmergency: true, DisablementThreshold: 556677},
		}},
		{"GCS03_1.6_IMMEDIATE_SUCCESS_PRECOMMAND", forbidden.Command{
			Kind: forbidden.ToPrepayment, Device: servicerequests.GSME,
		}},
	}
	for _, test := range tests {
		t.Run(test.vector, func(t *testing.T) {
			want, ok := vectors[test.vector]
			if !ok {
				t.Fatal("the vectors do not hold it")
			}
			if test.command.ID.Counter == 0 { // the vector's own
				m, err := gbcs.Parse(want)
				if err != nil {
					t.Fatal(err)
				}
				test.command.ID = m.ID()
			}
			got, err := test.command.AppendPreCommand(nil, rtdsClock)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("Pre-Command\n got %x\nwant %x", got, want)
			}
		})
	}
}

func TestTimings(t *testing.T) {
	newYear := time.Date(2030, 1, 15, 9, 0, 0, 0, time.UTC)
	tests := []struct {
		name   string
		device servicerequests.DeviceType
		kind   forbidden.Kind
		timing forbidden.Timing
		times  int
		want   string // date-time fields of the RTDS vectors, with another date
	}{
		{"electricity to credit later", servicerequests.ESME, forbidden.ToCredit, forbidden.Timing{At: newYear}, 1, "090c07ee010fff090000008000ff"},
		{"electricity to credit never", servicerequests.ESME, forbidden.ToCredit, forbidden.Timing{Cancel: true}, 1, "090cffffffffffffffffff8000ff"},
		{"electricity to prepayment later", servicerequests.ESME, forbidden.ToPrepayment, forbidden.Timing{At: newYear}, 2, "090c07ee010fff090000008000ff"},
		{"gas to credit later", servicerequests.GSME, forbidden.ToCredit, forbidden.Timing{At: newYear}, 1, "804a371c90888138940cffffffff"},
		{"gas to credit never", servicerequests.GSME, forbidden.ToCredit, forbidden.Timing{Cancel: true}, 1, "804a371cffffffff940cffffffff"},
		{"gas to prepayment later", servicerequests.GSME, forbidden.ToPrepayment, forbidden.Timing{At: newYear}, 1, "804a371c90888138970800000000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := forbidden.Command{Kind: test.kind, Device: test.device, ID: request(esme, 7), Timing: test.timing}
			b, err := c.AppendPreCommand(nil, rtdsClock)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(hex.EncodeToString(b), test.want); n != test.times {
				t.Errorf("%x holds %s %d times, want %d", b, test.want, n, test.times)
			}
		})
	}
}

func TestPermittedAndImpossibleAreRefused(t *testing.T) {
	for name, c := range map[string]forbidden.Command{
		"credit at once":      {Kind: forbidden.ToCredit, Device: servicerequests.ESME, ID: request(esme, 7)},
		"enable gas":          {Kind: forbidden.Enable, Device: servicerequests.GSME, ID: request(gsme, 7)},
		"disable a gas proxy": {Kind: forbidden.Disable, Device: servicerequests.GPF, ID: request(gsme, 7)},
		"nothing":             {},
	} {
		if _, err := c.AppendPreCommand(nil, rtdsClock); !errors.Is(err, forbidden.ErrNotForbidden) {
			t.Errorf("%s: %v, want ErrNotForbidden", name, err)
		}
	}
}

// TestDecodesToWhatWasAsked compares the encoders with the decoder of the refusing
// side, for every setting of the debt flags.
func TestDecodesToWhatWasAsked(t *testing.T) {
	for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
		for flags := range 4 {
			want := forbidden.Prepayment{
				SuspendDebtDisabled: flags&1 != 0, SuspendDebtEmergency: flags&2 != 0, DisablementThreshold: -5_000_000,
			}
			b, err := forbidden.Command{
				Kind: forbidden.ToPrepayment, Device: device, ID: request(esme, 7), Prepayment: want,
			}.AppendPreCommand(nil, rtdsClock)
			if err != nil {
				t.Fatal(err)
			}
			m, err := gbcs.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			c, err := gbcs.DecodeCommand(m)
			if err != nil {
				t.Fatalf("%s, flags %d: %v", device, flags, err)
			}
			got := forbidden.Prepayment{
				SuspendDebtDisabled: c.SuspendDebtDisabled, SuspendDebtEmergency: c.SuspendDebtEmergency,
				DisablementThreshold: int32(c.DisablementThreshold),
			}
			if got != want || c.Mode != servicerequests.Prepayment || c.When != gbcs.Immediate {
				t.Errorf("%s: got %+v in mode %s, want %+v", device, got, c.Mode, want)
			}
		}
	}
}
