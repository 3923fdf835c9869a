package gbcs_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/outside"
)

// seeds are messages of our own encoders, of every permitted use case and of each
// kind of Alert, and the outside vectors where they are.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	var all [][]byte
	daily := gbcs.DebtRecovery{Rate: 5000, Period: 86400}
	configuration := &gbcs.PrepaymentConfiguration{
		DebtRecovery: [2]gbcs.DebtRecovery{daily, daily},
		Account:      gbcs.AccountConfiguration{Mode: servicerequests.Credit},
	}
	at := gbcs.NewDateTime(vectorTime, gbcs.ClockUnspecified)
	for _, service := range servicerequests.Services {
		for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
			e := gbcs.Expected{Service: service, Device: device, ID: servicerequests.RequestID{Originator: supplierEUI, Target: 0x00DB1234567890A0, Counter: 1000}}
			command, err := gbcs.AppendPreCommand(nil, e, vectorTime)
			if errors.Is(err, gbcs.ErrNoPreCommand) {
				if command, err = gbcs.AppendRead(nil, e); errors.Is(err, gbcs.ErrNoRead) {
					continue // 8.2 is no message to a device
				}
			}
			if err != nil {
				f.Fatal(err)
			}
			m := parse(f, command)
			u, _ := gbcs.LookupUseCase(m.Code)
			h := m.Response(at)
			resp := gbcs.Response{Mode: servicerequests.Credit, Supply: servicerequests.Armed, Configuration: configuration}
			if u.Name == "GCS21b" { // no calendar is set
				resp.Results = append(make([]byte, u.Items()-4), bytes.Repeat([]byte{gbcs.StatusNotFound}, 4)...)
			}
			payload, err := gbcs.AppendResponsePayload(nil, h, resp)
			if err != nil {
				f.Fatal(err)
			}
			all = append(all, command, protect(u.Critical, h, payload))
		}
	}
	for _, a := range []gbcs.Alert{
		{Code: 0x81BE, At: vectorTime},
		{Code: 0x8F30, At: vectorTime, Gas: true},
		{Code: gbcs.AlertFutureDatedDone, At: vectorTime, FutureDated: &gbcs.FutureDated{Code: 0x001A, Counter: 1}},
		{Code: gbcs.AlertFutureDatedNotDone, At: vectorTime, Gas: true, FutureDated: &gbcs.FutureDated{Code: 0x006C, Counter: 1}},
	} {
		h := gbcs.Header{CRA: gbcs.CRAAlert, Counter: 7, Originator: 1, Target: 2, Code: a.MessageCode()}
		payload, err := gbcs.AppendAlertPayload(nil, h.Counter, a)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, protect(a.Critical(), h, payload))
	}
	if outside.HasVectors(f) {
		for _, v := range append(loadVectors(f), otherTraffic(f)...) {
			all = append(all, unhex(f, v.Hex))
		}
	}
	return all
}

// protect gives a message a signature or a MAC that is none.
func protect(critical bool, h gbcs.Header, payload []byte) []byte {
	if critical {
		return append(append(gbcs.AppendMessage(nil, h, payload), 64), make([]byte, 64)...)
	}
	return gbcs.AppendMAC(nil, gbcs.AppendNull(nil, h, payload), h.Originator, [16]byte{})
}

func FuzzParse(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m *gbcs.Message
		var err error
		heaptest.Limit(t, len(b), func() { m, err = gbcs.Parse(b) })
		if err != nil {
			if !errors.Is(err, gbcs.ErrMalformed) {
				t.Fatalf("error is not ErrMalformed: %v", err)
			}
			return
		}
		if again := encode(m); !bytes.Equal(again, b) {
			t.Fatalf("parsed\n%x, encoded again\n%x", b, again)
		}
		_ = gbcs.Describe(m)
	})
}

// FuzzDLMS and FuzzGBZ change the payloads of electricity and of gas under any
// header that they can have.
func FuzzDLMS(f *testing.F) { fuzzPayload(f, servicerequests.ESME) }

func FuzzGBZ(f *testing.F) { fuzzPayload(f, servicerequests.GSME) }

func fuzzPayload(f *testing.F, device servicerequests.DeviceType) {
	for _, b := range seeds(f) {
		m := parse(f, b)
		if u, known := gbcs.LookupUseCase(m.Code); !known || u.Device == device {
			f.Add(byte(m.CRA), m.Code, m.Counter, m.Payload)
		}
	}
	f.Fuzz(func(t *testing.T, cra byte, code uint16, counter uint64, payload []byte) {
		m := &gbcs.Message{Header: gbcs.Header{CRA: gbcs.CRA(cra), Counter: counter, Originator: 1, Target: 2, Code: code}, Payload: payload}
		u, known := gbcs.LookupUseCase(code)
		if known && u.Device != device {
			return
		}
		var err error
		switch m.CRA {
		case gbcs.CRACommand:
			m.Kind = gbcs.KindPreCommand
			var c gbcs.Command
			heaptest.Limit(t, len(payload), func() { c, err = gbcs.DecodeCommand(m) })
			if err == nil {
				requireSameCommand(t, m, c)
			}
		case gbcs.CRAResponse:
			m.Kind, m.HasDateTime = gbcs.KindResponse, u.DateTime
			if u.Critical {
				m.Signature = make([]byte, 64)
			}
			var resp gbcs.Response
			heaptest.Limit(t, len(payload), func() { resp, err = gbcs.DecodeResponse(m) })
			if err == nil {
				requireSameResponse(t, m, resp)
			}
		case gbcs.CRAAlert:
			m.Kind = gbcs.KindAlert
			if code != 0x1001 {
				m.Signature = make([]byte, 64)
			}
			var a gbcs.Alert
			heaptest.Limit(t, len(payload), func() { a, err = gbcs.DecodeAlert(m) })
			if err == nil && a.Gas == (device == servicerequests.GSME) {
				requireSameAlert(t, m, a)
			}
		}
		if err != nil && !errors.Is(err, gbcs.ErrPayload) && !errors.Is(err, gbcs.ErrUnknownUseCase) {
			t.Fatalf("error of another kind: %v", err)
		}
	})
}

// requireSameCommand encodes a Command again. There is an encoder for what is
// permitted and takes effect at once, and for nothing else.
func requireSameCommand(t *testing.T, m *gbcs.Message, c gbcs.Command) {
	t.Helper()
	e := gbcs.Expected{Service: c.UseCase.Service, Device: c.UseCase.Device, ID: m.ID()}
	if e.Service == 0 || c.When != gbcs.Immediate || m.Counter == 0 || m.Counter > servicerequests.MaxCounter {
		return
	}
	whole := gbcs.AppendMessage(nil, m.Header, m.Payload)
	if c.UseCase.Critical && c.TwinElement { // written by the DCC alone; Match knows it
		if err := e.Match(whole); err != nil {
			t.Fatalf("%x decodes to %+v: %v", whole, c, err)
		}
		return
	}
	var again []byte
	var err error
	if c.UseCase.Critical {
		again, err = gbcs.AppendPreCommand(nil, e, c.IssuedAt)
		if err != nil && !c.IssuedAt.IsZero() && c.IssuedAt.Unix()-time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() == 0xFFFFFFFF {
			return // 2136 and never are one number on the wire; no clock is there yet
		}
	} else {
		whole = append(whole, 0)
		again, err = gbcs.AppendRead(nil, e)
		if c.UseCase.Name == "GCS60a" { // accepted and never sent
			return
		}
	}
	if err != nil || !bytes.Equal(whole, again) {
		t.Fatalf("%x decodes to %+v, encoded again %x, %v", whole, c, again, err)
	}
}

// manyForms are the use cases whose answers may say one thing in several ways: a
// meter may choose its scale, its number for true, the low nibble of its
// decimals, and which command it names as the one not executed.
var manyForms = map[string]bool{"ECS26a": true, "GCS21b": true, "GCS14": true, "GCS60": true, "GCS60a": true}

// requireSameResponse encodes a decoded Response: to the same bytes, or where
// there are many forms to one with the same meaning.
func requireSameResponse(t *testing.T, m *gbcs.Message, resp gbcs.Response) {
	t.Helper()
	payload, err := gbcs.AppendResponsePayload(nil, m.Header, resp)
	if err != nil {
		t.Fatalf("%+v does not encode: %v", resp, err)
	}
	if !manyForms[resp.UseCase.Name] {
		if !bytes.Equal(payload, m.Payload) {
			t.Fatalf("%x decodes to %+v, encoded again %x", m.Payload, resp, payload)
		}
		return
	}
	again := *m
	again.Payload = payload
	got, err := gbcs.DecodeResponse(&again)
	if err != nil {
		t.Fatalf("%x, encoded again %x, does not decode: %v", m.Payload, payload, err)
	}
	if diff := cmp.Diff(resp, got); diff != "" {
		t.Fatalf("encoded and decoded again (-first +again)\n%s", diff)
	}
}

// requireSameAlert encodes a decoded Alert. The parts of a time that an instant
// does not have (day of the week, hundredths, clock status) are the encoder's own.
func requireSameAlert(t *testing.T, m *gbcs.Message, a gbcs.Alert) {
	t.Helper()
	if a.MessageCode() != m.Code {
		t.Fatalf("alert %+v under %04X", a, m.Code)
	}
	payload, err := gbcs.AppendAlertPayload(nil, m.Counter, a)
	if err != nil {
		if a.At.IsZero() || a.Gas && a.At.Year() == 2136 {
			return // an open time, or never
		}
		t.Fatalf("%+v does not encode: %v", a, err)
	}
	again := *m
	again.Payload = payload
	got, err := gbcs.DecodeAlert(&again)
	if diff := cmp.Diff(a, got); err != nil || diff != "" {
		t.Fatalf("%x, encoded again %x: %v\n%s", m.Payload, payload, err, diff)
	}
	if a.Gas && !bytes.Equal(payload, m.Payload) {
		t.Fatalf("%x decodes to %+v, encoded again %x", m.Payload, a, payload)
	}
}

func FuzzMatch(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := gbcs.Parse(b)
		if err != nil {
			return
		}
		u, _ := gbcs.LookupUseCase(m.Code)
		e := gbcs.Expected{Service: u.Service, Device: u.Device, ID: m.ID()}
		if err := e.Match(b); err != nil {
			if _, ok := errors.AsType[*gbcs.MismatchError](err); !ok && !errors.Is(err, gbcs.ErrNoPreCommand) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		// A message that matches is a permitted Pre-Command that takes effect at once.
		c, err := gbcs.DecodeCommand(m)
		if err != nil || c.When != gbcs.Immediate || c.UseCase.Service == 0 || c.Mode == servicerequests.Prepayment {
			t.Fatalf("%x matches, and decodes to %+v, %v", b, c, err)
		}
	})
}

// FuzzOtherUseCases puts any payload and supplementary values under any message code that is
// not decoded here: header, signature and MAC are read, the payload is carried as it is, and
// nothing is made of it.
func FuzzOtherUseCases(f *testing.F) {
	f.Add(byte(2), uint16(0x0037), uint64(1), []byte{}, []byte{1, 2, 3}, false)
	f.Add(byte(3), uint16(0x0123), uint64(1)<<63, make([]byte, 8), []byte("0123"), true)
	if outside.HasVectors(f) {
		for _, v := range otherTraffic(f) {
			m := parse(f, unhex(f, v.Hex))
			f.Add(byte(m.CRA), m.Code, m.Counter, m.Supplementary, m.Payload, m.Signature != nil)
		}
	}
	f.Fuzz(func(t *testing.T, cra byte, code uint16, counter uint64, supplementary, payload []byte, signed bool) {
		if gbcs.Decodes(code) || len(payload) > 1<<12 || len(supplementary) > 64 {
			return
		}
		h := gbcs.Header{CRA: gbcs.CRA(cra), Counter: counter, Originator: 1, Target: 2, Code: code}
		b := gbcs.AppendMessage(nil, h, payload)
		const lengthAt, after = 30, 33 // of other-information, where there is no date-time
		b[lengthAt] += byte(len(supplementary))
		b = slices.Insert(b, after, supplementary...)
		if signed {
			b = append(append(b, 64), make([]byte, 64)...)
		} else {
			b = gbcs.AppendMAC(nil, append(b, 0), h.Originator, [16]byte{})
		}
		var m *gbcs.Message
		var err error
		heaptest.Limit(t, len(b), func() { m, err = gbcs.Parse(b) })
		fits := len(supplementary)%8 == 0 && len(supplementary) <= 24 && cra >= 1 && cra <= 3
		if err != nil {
			if !errors.Is(err, gbcs.ErrMalformed) || fits && counter != 0 && len(payload) > 0 {
				t.Fatalf("%x: %v", b, err)
			}
			return
		}
		if !fits || m.Code != code || m.Counter != counter || !bytes.Equal(m.Payload, payload) || !bytes.Equal(m.Supplementary, supplementary) || (m.Signature != nil) != signed {
			t.Fatalf("%x is read as %+v", b, m)
		}
		if again := encode(m); !bytes.Equal(again, b) {
			t.Fatalf("parsed\n%x, encoded again\n%x", b, again)
		}
		if _, err := gbcs.DecodeResponse(m); err == nil {
			t.Fatal("taken for a response of ours")
		}
		if _, err := gbcs.DecodeAlert(m); err == nil {
			t.Fatal("taken for an alert of ours")
		}
		if _, err := gbcs.DecodeCommand(m); err == nil {
			t.Fatal("taken for a command of ours")
		}
		if d := gbcs.Describe(m); d.Note == "" || d.Command != nil || d.Response != nil || d.Alert != nil {
			t.Fatalf("described as %+v", d)
		}
	})
}
