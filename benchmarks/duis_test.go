package benchmarks_test

import (
	"testing"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

var duisID = servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: 1700000000000}

func duisSignedPreCommand() duis.Request {
	return duis.Request{ID: duisID, Service: servicerequests.ArmSupply, SignedPreCommand: make([]byte, 120)}
}

func duisPreCommandResponse() duis.Response {
	return duis.Response{
		RequestID: duisID, Code: servicerequests.Success, At: time.Unix(1700000000, 0), ServiceReference: "7.3", SRV: "7.3",
		Content: duis.PreCommand{GBCSVersion: "4.3", Payload: make([]byte, 56)},
	}
}

func BenchmarkDUISAppendRequest(b *testing.B) {
	request := duisSignedPreCommand()
	buffer := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := duis.AppendRequest(buffer, request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDUISDecodeRequest(b *testing.B) {
	xml, err := duis.AppendRequest(nil, duisSignedPreCommand())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(xml)))
	for b.Loop() {
		if _, err := duis.DecodeRequest(xml); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDUISAppendResponse(b *testing.B) {
	response := duisPreCommandResponse()
	buffer := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := duis.AppendResponse(buffer, response); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDUISDecodeResponse(b *testing.B) {
	xml, err := duis.AppendResponse(nil, duisPreCommandResponse())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(xml)))
	for b.Loop() {
		if _, err := duis.DecodeResponse(xml); err != nil {
			b.Fatal(err)
		}
	}
}
