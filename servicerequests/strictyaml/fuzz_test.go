package strictyaml_test

import (
	"errors"
	"testing"
	"time"

	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/strictyaml"
)

// FuzzUnmarshal: every error is a fault with a path or says that it is no such document, and
// what is taken has passed Validate. No time is taken without its zone.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("text: a\nyes: true\nwhole: 1\nnumber: 1.5\nwait: 3s\nat: 2026-12-21T23:59:59Z\nday: 2026-11-30\n"))
	f.Add([]byte("srvs: [\"7.4\"]\ncounts: {\"7.4\": 3}\nnested: {North: {n: 1}}\nlist: [{n: 2}]\nmaybe: {n: 3}\ninside: 4\n"))
	f.Add([]byte("whole: 0100000\n"))
	f.Add([]byte("at: 2026-12-21 23:59:59\n"))
	f.Add([]byte("a: &a [x, x]\nb: *a\n"))
	f.Add([]byte("whole: 1\nwhole: 2\n"))
	f.Add([]byte("\ufefftext: a\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var into file
		var err error
		heaptest.Limit(t, len(text), func() { into = file{}; err = strictyaml.Unmarshal(text, &into) })
		if err != nil {
			fault, isFault := errors.AsType[*strictyaml.Fault](err)
			if _, isSyntax := errors.AsType[*strictyaml.SyntaxError](err); !isSyntax && (!isFault || fault.Path == "") {
				t.Fatalf("an error without a path: %v", err)
			}
			return
		}
		if into.Whole < 0 {
			t.Fatalf("taken and not valid: %+v", into)
		}
		for _, at := range append(into.Ends, into.At) {
			if !at.IsZero() && at.Location() != time.UTC {
				t.Fatalf("an instant of zone %v", at.Location())
			}
		}
	})
}
