package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

// sink counts connections: a POST that the wall holds back makes none.
type sink struct {
	net.Listener
	connections chan struct{}
}

func newSink(t *testing.T) *sink {
	t.Helper()
	// At an address of its own: somebody's late dial to a port that had been free meets no sink.
	own := make([]byte, 2)
	rand.Read(own)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.77.%d.%d:0", own[0], own[1]))
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{listener, make(chan struct{}, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.connections <- struct{}{}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return s
}

func (s *sink) url() string { return "http://" + s.Addr().String() }

func wantHeldBack(t *testing.T, post Post) {
	t.Helper()
	s := newSink(t)
	_, err := newGateway(t, Options{URL: s.url()}).Post(t.Context(), post)
	wantClass(t, err, ErrNotPermitted)
	select {
	case <-s.connections:
		t.Error("the wall let a connection be made")
	case <-time.After(20 * time.Millisecond):
	}
}

// signed makes the Signed Pre-Command of a permitted service.
func signed(t *testing.T, e gbcs.Expected) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pre, err := gbcs.AppendPreCommand(nil, e, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	message, err := gbcs.Sign(pre, key)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestWallLetsThePermittedSetPass(t *testing.T) {
	for _, service := range servicerequests.Services {
		for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
			r := duis.Request{ID: readID, Service: service}
			post := Post{Service: record.SendCommand, ID: r.ID}
			switch {
			case service == servicerequests.ReadInventory:
				r.InventoryDevice, post.Service = readID.Target, record.NonDevice
			case service.Critical():
				post.Service = record.Transform
			}
			post.Body = request(t, r)
			if err := inspect(post); err != nil {
				t.Errorf("%s: %v", service, err)
			}
			if !service.Critical() {
				continue
			}
			r.SignedPreCommand = signed(t, gbcs.Expected{Service: service, Device: device, ID: r.ID})
			post.Service, post.Body = record.SendCommand, request(t, r)
			if err := inspect(post); err != nil {
				t.Errorf("Signed Pre-Command of %s for %s: %v", service, device, err)
			}
		}
	}
}

func TestWallHoldsBackForbiddenRequests(t *testing.T) {
	arm := string(request(t, duis.Request{ID: readID, Service: servicerequests.ArmSupply}))
	credit := string(request(t, duis.Request{ID: readID, Service: servicerequests.SwitchToCredit}))
	replace := func(body string, pairs ...string) string {
		got := strings.NewReplacer(pairs...).Replace(body)
		if got == body {
			t.Fatalf("nothing replaced in %s", body)
		}
		return got
	}
	for name, body := range map[string]string{
		"7.2":                 replace(arm, "7.3", "7.2", "ArmSupply", "DisableSupply"),
		"7.1":                 replace(arm, "7.3", "7.1", "ArmSupply", "EnableSupply"),
		"7.2 called 7.3":      replace(arm, "ArmSupply", "DisableSupply"),
		"7.3 called 7.2":      replace(arm, "7.3", "7.2"),
		"1.6 to Prepayment":   replace(credit, "<sr:Credit></sr:Credit>", "<sr:Prepayment><sr:SuspendDebtDisabled>false</sr:SuspendDebtDisabled><sr:SuspendDebtEmergency>false</sr:SuspendDebtEmergency><sr:DisablementThreshold>0</sr:DisablementThreshold></sr:Prepayment>"),
		"1.6 at another time": replace(credit, "<sr:Credit>", "<sr:ExecutionDateTime>2027-01-01T00:00:00.000Z</sr:ExecutionDateTime><sr:Credit>"),
		"1.6 cancelled":       replace(credit, "<sr:Credit>", "<sr:ExecutionDateTime>3000-12-31T00:00:00.000Z</sr:ExecutionDateTime><sr:Credit>"),
		"another variant":     replace(arm, ">4<", ">7<"),
		"another ID":          replace(arm, ":1000<", ":1001<"),
		"no XML":              "hello",
		"nothing":             "",
		"cut short":           arm[:len(arm)-4],
		"two documents":       arm + arm,
	} {
		t.Run(name, func(t *testing.T) {
			wantHeldBack(t, Post{Service: record.Transform, ID: readID, Body: []byte(body)})
		})
	}
}

func TestWallHoldsBackTheWrongURL(t *testing.T) {
	arm := duis.Request{ID: readID, Service: servicerequests.ArmSupply}
	signedArm := arm
	signedArm.SignedPreCommand = signed(t, gbcs.Expected{Service: servicerequests.ArmSupply, Device: servicerequests.ESME, ID: readID})
	read := duis.Request{ID: readID, Service: servicerequests.ReadPaymentMode}
	inventory := duis.Request{ID: readID, Service: servicerequests.ReadInventory, InventoryDevice: readID.Target}
	for _, test := range []struct {
		request duis.Request
		right   record.Endpoint
	}{{arm, record.Transform}, {signedArm, record.SendCommand}, {read, record.SendCommand}, {inventory, record.NonDevice}} {
		for _, service := range append(record.Endpoints[:], 0, 9) {
			err := inspect(Post{Service: service, ID: readID, Body: request(t, test.request)})
			if (err == nil) != (service == test.right) {
				t.Errorf("Command Variant %d to %s: %v", test.request.CommandVariant(), service, err)
			}
		}
	}
}

func TestWallHoldsBackWhatIsInsideASignedPreCommand(t *testing.T) {
	esmeArm := gbcs.Expected{Service: servicerequests.ArmSupply, Device: servicerequests.ESME, ID: readID}
	good := signed(t, esmeArm)
	otherID := esmeArm
	otherID.ID.Counter++
	emergency := esmeArm
	emergency.Service = servicerequests.ActivateEmergencyCredit
	unsigned := good[:len(good)-65]
	long := append(append([]byte{}, good...), 0)
	for name, message := range map[string][]byte{
		"another counter": signed(t, otherID),
		"another service": signed(t, emergency),
		"unsigned":        unsigned,
		"null signature":  append(append([]byte{}, unsigned...), 0),
		"a byte too many": long,
		"nonsense":        []byte("nonsense"),
	} {
		t.Run(name, func(t *testing.T) {
			body := request(t, duis.Request{ID: readID, Service: servicerequests.ArmSupply, SignedPreCommand: message})
			wantHeldBack(t, Post{Service: record.SendCommand, ID: readID, Body: body})
		})
	}
}

// Every command of the outside vectors that is not permitted is held back, under
// whatever permitted service it hides.
func TestWallHoldsBackForbiddenCommands(t *testing.T) {
	held := 0
	for _, v := range outside.Messages(t, "command") {
		m, err := gbcs.Parse(v.Hex)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if u, ok := gbcs.LookupUseCase(m.Code); !ok || u.Service != 0 || !u.Critical {
			continue
		}
		held++
		for _, service := range servicerequests.Services {
			if !service.Critical() {
				continue
			}
			t.Run(v.Name+" as "+service.SRV(), func(t *testing.T) {
				body := request(t, duis.Request{ID: m.ID(), Service: service, SignedPreCommand: m.Inner()})
				wantHeldBack(t, Post{Service: record.SendCommand, ID: m.ID(), Body: body})
			})
		}
	}
	if held < 5 { // ECS03, GCS03, ECS42, ECS43, GCS32
		t.Errorf("only %d forbidden commands among the vectors", held)
	}
}
