package gbcs_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// expected returns what a vector's Pre-Command was asked for.
func expected(t *testing.T, m *gbcs.Message) gbcs.Expected {
	t.Helper()
	u, ok := gbcs.LookupUseCase(m.Code)
	if !ok {
		t.Fatalf("no use case %04X", m.Code)
	}
	return gbcs.Expected{Service: u.Service, Device: u.Device, ID: m.ID()}
}

// vectorTime is the issuer event time of all vectors.
var vectorTime = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)

func TestUseCasesAreTheCatalogues(t *testing.T) {
	found := 0
	for _, v := range servicerequests.Catalogue() {
		for device, cases := range v.UseCases {
			for _, c := range cases {
				found++
				if u, ok := gbcs.LookupUseCase(c.Code); !ok || u.Name != c.Name || u.SRV != v.SRV || !u.Fits(device) {
					t.Errorf("%s %04X for %s: table has %+v", c.Name, c.Code, device, u)
				}
			}
		}
	}
	if found != 27 {
		t.Errorf("%d use cases by device, want 27", found)
	}
}

func TestMatchVectors(t *testing.T) {
	permitted, refused := 0, 0
	preCommands := ofKind(t, "precommand", 11)
	for _, v := range preCommands {
		raw := unhex(t, v.Hex)
		m := parse(t, raw)
		e := expected(t, m)
		if e.Service == 0 {
			refused++
			if err := e.Match(raw); !errors.Is(err, gbcs.ErrNoPreCommand) {
				t.Errorf("%s: %v, want ErrNoPreCommand", v.Name, err)
			}
			continue
		}
		permitted++
		t.Run(v.Name, func(t *testing.T) {
			null := append(bytes.Clone(raw), 0)
			for _, form := range [][]byte{raw, null} {
				if err := e.Match(form); err != nil {
					t.Errorf("own Pre-Command: %v", err)
				}
			}
			b, err := gbcs.AppendPreCommand(nil, e, vectorTime)
			if err != nil || !bytes.Equal(b, raw) {
				t.Errorf("AppendPreCommand: %v\n%x\nwant\n%x", err, b, raw)
			}
			for name, b := range map[string][]byte{
				"two null bytes":   append(bytes.Clone(null), 0),
				"one byte more":    append(bytes.Clone(raw), 1),
				"one byte less":    raw[:len(raw)-1],
				"nothing":          nil,
				"byte after null":  append(bytes.Clone(null), 1),
				"something before": append([]byte{0}, raw...),
			} {
				requireMismatch(t, name, e.Match(b), "message")
			}
			free := 0
			for i := range raw {
				for bit := range 8 {
					b := bytes.Clone(raw)
					b[i] ^= 1 << bit
					if err := e.Match(b); err == nil {
						free++
						if payloadAt := len(raw) - len(m.Payload); i < payloadAt+15 || i > payloadAt+18 {
							t.Errorf("bit %d of byte %d flipped: accepted", bit, i)
						}
					} else if _, ok := errors.AsType[*gbcs.MismatchError](err); !ok {
						t.Errorf("bit %d of byte %d flipped: %v, want MismatchError", bit, i, err)
					}
				}
			}
			if want := map[uint16]int{0x6C: 32, 0x85: 32}[m.Code]; free != want {
				t.Errorf("%d free bits, want %d", free, want)
			}
			wrong := e
			wrong.ID.Target++
			requireMismatch(t, "target", wrong.Match(raw), "target")
			wrong = e
			wrong.ID.Originator++
			requireMismatch(t, "originator", wrong.Match(raw), "originator")
			wrong = e
			wrong.ID.Counter++
			requireMismatch(t, "counter", wrong.Match(raw), "originator counter")
			for _, other := range preCommands {
				if other.Name == v.Name {
					continue
				}
				o := parse(t, unhex(t, other.Hex))
				e := e
				e.ID = o.ID() // everything but the message code as asked for
				err := e.Match(unhex(t, other.Hex))
				requireMismatch(t, other.Name, err, "message code")
				if u, _ := gbcs.LookupUseCase(o.Code); !strings.Contains(err.Error(), u.String()) {
					t.Errorf("%s is not named: %v", u, err)
				}
			}
		})
	}
	if permitted != 6 || refused != 5 {
		t.Errorf("%d permitted and %d refused Pre-Commands, want 6 and 5", permitted, refused)
	}
}

func requireMismatch(t *testing.T, what string, err error, field string) {
	t.Helper()
	if mismatch, ok := errors.AsType[*gbcs.MismatchError](err); !ok || mismatch.Field != field {
		t.Errorf("%s: %v, want MismatchError in %s", what, err, field)
	}
}

// A forbidden payload under a permitted code: two bytes tell them apart.
func TestMatchForbiddenPayload(t *testing.T) {
	for _, pair := range [][2]string{
		{"ECS44_7.3_SUCCESS_PRECOMMAND", "ECS42_7.1_SUCCESS_PRECOMMAND"},
		{"ECS44_7.3_SUCCESS_PRECOMMAND", "ECS43_7.2_SUCCESS_PRECOMMAND"},
		{"GCS39_7.3_SUCCESS_PRECOMMAND", "GCS32_7.2_SUCCESS_PRECOMMAND"},
		{"GCS02_1.6_IMMEDIATE_SUCCESS_PRECOMMAND", "GCS03_1.6_IMMEDIATE_SUCCESS_PRECOMMAND"},
	} {
		good := parse(t, unhex(t, find(t, pair[0]).Hex))
		bad := parse(t, unhex(t, find(t, pair[1]).Hex))
		disguised := gbcs.AppendMessage(nil, good.Header, bad.Payload)
		mismatch, ok := errors.AsType[*gbcs.MismatchError](expected(t, good).Match(disguised))
		if !ok || !strings.HasPrefix(mismatch.Field, "payload offset ") {
			t.Errorf("%s as %s: %v", pair[1], pair[0], mismatch)
		}
		if _, err := gbcs.DecodeCommand(parse(t, disguised)); !errors.Is(err, gbcs.ErrPayload) {
			t.Errorf("%s as %s decodes: %v", pair[1], pair[0], err)
		}
	}
}

// The twin element form of ECS02 was seen future-dated and as cancellation only:
// its immediate form is made from the single element one here.
func TestMatchTwinElement(t *testing.T) {
	single := parse(t, unhex(t, find(t, "ECS02_1.6_IMMEDIATE_SINGLE_SUCCESS_PRECOMMAND").Hex))
	e := expected(t, single)
	const last, pairLength, time = 14, 21, 14
	at := len(single.Payload) - time
	pair := bytes.Clone(single.Payload[at-pairLength : at])
	pair[16] = 5 // charge 0-0:19.20.5.255
	twin := append(append(bytes.Clone(single.Payload[:at]), pair...), single.Payload[at:]...)
	twin[at-2*pairLength-1] = 3
	b := gbcs.AppendMessage(nil, single.Header, twin)
	if len(b) != 157 {
		t.Errorf("twin Pre-Command of %d bytes, want 157", len(b))
	}
	for _, form := range [][]byte{b, append(bytes.Clone(b), 0)} {
		if err := e.Match(form); err != nil {
			t.Errorf("twin form: %v", err)
		}
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if err := e.Match(bad); err == nil {
			t.Errorf("bit of byte %d flipped: accepted", i)
		}
	}
	c, err := gbcs.DecodeCommand(parse(t, b))
	if err != nil || !c.TwinElement || c.When != gbcs.Immediate || c.Mode != servicerequests.Credit {
		t.Errorf("decoded %+v, %v", c, err)
	}
	for name, time := range map[string]string{
		"at a time":    "090c07ee010fff090000008000ff",
		"cancellation": "090cffffffffffffffffff8000ff",
	} {
		dated := append(bytes.Clone(single.Payload[:at]), unhex(t, time)...)
		b := gbcs.AppendMessage(nil, single.Header, dated)
		if err := e.Match(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
		c, err := gbcs.DecodeCommand(parse(t, b))
		if err != nil || c.When == gbcs.Immediate {
			t.Errorf("%s: decoded %+v, %v", name, c, err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	id := servicerequests.RequestID{Originator: 1, Target: 2, Counter: 3}
	for s := servicerequests.Service(0); s < 12; s++ {
		for d := servicerequests.UnknownDevice; d <= servicerequests.CHF+1; d++ {
			e := gbcs.Expected{Service: s, Device: d, ID: id}
			meter := d == servicerequests.ESME || d == servicerequests.GSME
			known := s.SRV() != "8.2" && s > 0 && s <= servicerequests.ReadInventory
			_, err := gbcs.AppendPreCommand(nil, e, vectorTime)
			if want := known && s.Critical() && meter; (err == nil) != want || !want && !errors.Is(err, gbcs.ErrNoPreCommand) {
				t.Errorf("AppendPreCommand(%v, %v): %v", s, d, err)
			}
			if err := e.Match(nil); known && s.Critical() && meter == errors.Is(err, gbcs.ErrNoPreCommand) {
				t.Errorf("Match(%v, %v): %v", s, d, err)
			}
			_, err = gbcs.AppendRead(nil, e)
			reads := meter || d == servicerequests.GPF && s != servicerequests.ReadSupplyStatus
			if want := known && !s.Critical() && reads; (err == nil) != want || !want && !errors.Is(err, gbcs.ErrNoRead) {
				t.Errorf("AppendRead(%v, %v): %v", s, d, err)
			}
		}
	}
	e := gbcs.Expected{Service: servicerequests.SwitchToCredit, Device: servicerequests.GSME, ID: id}
	for _, at := range []time.Time{{}, time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2137, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := gbcs.AppendPreCommand(nil, e, at); err == nil {
			t.Errorf("issuer event time %v accepted", at)
		}
	}
	for _, bad := range []servicerequests.RequestID{{Target: 2, Counter: 3}, {Originator: 1, Counter: 3}, {Originator: 1, Target: 2}, {Originator: 1, Target: 2, Counter: 1 << 63}} {
		e.ID = bad
		if _, err := gbcs.AppendPreCommand(nil, e, vectorTime); err == nil {
			t.Errorf("request ID %v accepted", bad)
		}
	}
}

func TestAppendReadVectors(t *testing.T) {
	read := 0
	for _, v := range ofKind(t, "command", 27) {
		raw := unhex(t, v.Hex)
		m := parse(t, raw)
		e := expected(t, m)
		if e.Service == 0 || e.Service.Critical() {
			continue
		}
		read++
		if strings.HasSuffix(v.Parsed.BusinessTargetID, "a3") {
			e.Device = servicerequests.GPF
		}
		b, err := gbcs.AppendRead(nil, e)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		want := bytes.Clone(m.Inner())
		if v.UseCase == "GCS60a" { // goes out as GCS60, with the same payload
			want[31], want[32] = 0x00, 0x8D
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s:\n%x\nwant\n%x", v.Name, b, want)
		}
		full := gbcs.AppendMAC(nil, b, m.Originator, [16]byte(unhex(t, v.MAC.AESKey)))
		if v.UseCase != "GCS60a" && !bytes.Equal(full, raw) {
			t.Errorf("%s with MAC:\n%x\nwant\n%x", v.Name, full, raw)
		}
	}
	if read != 12 {
		t.Errorf("%d reads, want 12", read)
	}
}

func TestMatchResponse(t *testing.T) {
	checked := 0
	for _, v := range ofKind(t, "response", 27) {
		m := parse(t, unhex(t, v.Hex))
		u, _ := gbcs.LookupUseCase(m.Code)
		e := gbcs.Expected{Service: u.Service, Device: u.Device, ID: m.ID().Reversed()}
		if u.Service == 0 {
			requireMismatch(t, v.Name, e.MatchResponse(m), "message code")
			continue
		}
		checked++
		if strings.HasSuffix(v.Parsed.BusinessOriginatorID, "a3") {
			e.Device = servicerequests.GPF
		}
		if err := e.MatchResponse(m); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		wrong := e
		wrong.ID = e.ID.Reversed()
		requireMismatch(t, v.Name, wrong.MatchResponse(m), "originator")
		wrong = e
		wrong.ID.Target++
		requireMismatch(t, v.Name, wrong.MatchResponse(m), "originator")
		wrong = e
		wrong.ID.Originator++
		requireMismatch(t, v.Name, wrong.MatchResponse(m), "target")
		wrong = e
		wrong.ID.Counter++
		requireMismatch(t, v.Name, wrong.MatchResponse(m), "originator counter")
		wrong = e
		wrong.Device = servicerequests.CHF
		requireMismatch(t, v.Name, wrong.MatchResponse(m), "message code")
		for _, s := range servicerequests.Services {
			wrong = e
			if wrong.Service = s; s != e.Service {
				requireMismatch(t, v.Name, wrong.MatchResponse(m), "message code")
			}
		}
		// The other protection: signed where a MAC belongs, or the reverse.
		inner := gbcs.AppendMessage(nil, m.Header, m.Payload)
		if u.Critical {
			inner = gbcs.AppendMAC(nil, append(inner, 0), m.Originator, [16]byte{})
		} else {
			inner = append(append(inner, 64), make([]byte, 64)...)
		}
		requireMismatch(t, v.Name, e.MatchResponse(parse(t, inner)), "signature")
	}
	if checked != 18 {
		t.Errorf("%d responses, want 18", checked)
	}
	command := parse(t, unhex(t, find(t, "ECS45_7.4_SUCCESS_COMMAND").Hex))
	requireMismatch(t, "a Command", expected(t, command).MatchResponse(command), "kind")
}

func TestMatchDoesNotAllocate(t *testing.T) {
	for _, v := range ofKind(t, "precommand", 11) {
		raw := unhex(t, v.Hex)
		if e := expected(t, parse(t, raw)); e.Service != 0 {
			if n := testing.AllocsPerRun(100, func() { _ = e.Match(raw) }); n != 0 {
				t.Errorf("%s: %v allocations", v.Name, n)
			}
		}
	}
}
