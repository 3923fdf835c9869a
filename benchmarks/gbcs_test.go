package benchmarks_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// The hot path of one critical request: match and sign its Pre-Command; decode
// and verify its Response. And of one read: verify the MAC, decode.
func BenchmarkGBCS(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	expected := gbcs.Expected{
		Service: servicerequests.SwitchToCredit, Device: servicerequests.ESME,
		ID: servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: 1_700_000_000_000},
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	preCommand, err := gbcs.AppendPreCommand(nil, expected, now)
	if err != nil {
		b.Fatal(err)
	}
	command, err := gbcs.Parse(preCommand)
	if err != nil {
		b.Fatal(err)
	}
	header := command.Response(gbcs.NewDateTime(now, gbcs.ClockUnspecified))
	payload, err := gbcs.AppendResponsePayload(nil, header, gbcs.Response{})
	if err != nil {
		b.Fatal(err)
	}
	response, err := gbcs.AppendSigned(nil, header, payload, key)
	if err != nil {
		b.Fatal(err)
	}
	signed, err := gbcs.Parse(response)
	if err != nil {
		b.Fatal(err)
	}

	read := expected
	read.Service = servicerequests.ReadSupplyStatus
	inner, err := gbcs.AppendRead(nil, read)
	if err != nil {
		b.Fatal(err)
	}
	z := [32]byte{1}
	readHeader := gbcs.Header{CRA: gbcs.CRACommand, Counter: read.ID.Counter, Originator: read.ID.Originator, Target: read.ID.Target, Code: 0x0052}
	macKey := gbcs.MACKey(z, readHeader)
	wrapped := gbcs.AppendMAC(nil, inner, readHeader.Originator, macKey)
	authenticated, err := gbcs.Parse(wrapped)
	if err != nil {
		b.Fatal(err)
	}
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}

	buffer := make([]byte, 0, 1024)
	for _, bench := range []struct {
		name string
		run  func() error
	}{
		{"AppendPreCommand", func() error { _, err := gbcs.AppendPreCommand(buffer, expected, now); return err }},
		{"AppendRead", func() error { _, err := gbcs.AppendRead(buffer, read); return err }},
		{"Match", func() error { return expected.Match(preCommand) }},
		{"Sign", func() error { _, err := gbcs.Sign(preCommand, key); return err }},
		{"Parse", func() error { _, err := gbcs.Parse(response); return err }},
		{"MatchResponse", func() error { _ = expected.MatchResponse(signed); return nil }},
		{"DecodeResponse", func() error { _, err := gbcs.DecodeResponse(signed); return err }},
		{"AppendResponsePayload", func() error { _, err := gbcs.AppendResponsePayload(buffer, header, gbcs.Response{}); return err }},
		{"VerifySignature", func() error { return signed.VerifySignature(&key.PublicKey) }},
		{"SharedSecret", func() error { _, err := gbcs.SharedSecret(private, private.PublicKey()); return err }},
		{"MACKey", func() error { macKey = gbcs.MACKey(z, readHeader); return nil }},
		{"AppendMAC", func() error { gbcs.AppendMAC(buffer, inner, readHeader.Originator, macKey); return nil }},
		{"VerifyMAC", func() error { return authenticated.VerifyMAC(macKey) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
