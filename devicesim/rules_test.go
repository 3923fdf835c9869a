package devicesim_test

import (
	"bytes"
	"net/http"
	"slices"
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/dcc"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
)

func parseFaults(t *testing.T, text string) fault.Profile {
	t.Helper()
	p, err := fault.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// code posts to Send Command and returns what the DCC says at once.
func (u *user) code(body []byte) servicerequests.ResponseCode {
	u.t.Helper()
	r, err := duis.DecodeResponse(u.post("/api/v1/serviceS", body))
	if err != nil {
		u.t.Fatal(err)
	}
	return r.Code
}

func (u *user) readRequest(device servicerequests.EUI) []byte {
	u.t.Helper()
	return u.request(duis.Request{ID: u.newID(device), Service: servicerequests.ReadSupplyStatus})
}

// TestQuarantine: what is over the threshold is acknowledged and held back, AD1
// names it, and it goes on its way or is dropped as the User decides.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "latency: {median: 0s, tail: 0s}\ndcc: {anomaly_thresholds: {\"7.4\": {limit: 1, per: 24h}}}"), nil)
	m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	first := u.read(servicerequests.ReadSupplyStatus, m.Device)
	u.answer(first)

	held := map[servicerequests.RequestID]string{} // to the reference
	for range 2 {
		id := u.read(servicerequests.ReadSupplyStatus, m.Device)
		r := u.next()
		alert, ok := r.Content.(duis.DCCAlert)
		if !ok || alert.Code != "AD1" || r.Code != servicerequests.Success {
			t.Fatalf("%+v, want AD1", r)
		}
		event := alert.Event.(duis.QuarantinedRequest)
		if event.Request != id || event.Breach != duis.UserThreshold {
			t.Errorf("%+v, for %s", event, id)
		}
		held[id] = event.EventRef
	}
	var list []dcc.Quarantined
	if status := u.control("GET", "/sim/v1/quarantine", "", &list); status != http.StatusOK || len(list) != 2 {
		t.Fatalf("status %d, %+v", status, list)
	}
	for i, q := range list {
		if held[q.Request] != q.Ref || q.SRV != "7.4" || q.Since.IsZero() {
			t.Errorf("%+v", q)
		}
		decision := []string{"delete", "release"}[i]
		if status := u.control("POST", "/sim/v1/quarantine/"+q.Ref+"/"+decision, "", nil); status != http.StatusNoContent {
			t.Errorf("%s: status %d", decision, status)
		}
		if status := u.control("POST", "/sim/v1/quarantine/"+q.Ref+"/"+decision, "", nil); status != http.StatusNotFound {
			t.Errorf("%s again: status %d", decision, status)
		}
	}
	u.answer(list[1].Request) // the deleted one would have come first
	if status := u.control("POST", "/sim/v1/quarantine/none/release", "", nil); status != http.StatusNotFound {
		t.Errorf("no reference: status %d", status)
	}
	// Another SRV has a count of its own.
	u.answer(u.read(servicerequests.ReadPaymentMode, m.Device))
}

// TestThresholdPeriod: the next period has its own count.
func TestThresholdPeriod(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "latency: {median: 0s, tail: 0s}\ndcc: {anomaly_thresholds: {\"7.4\": {limit: 1, per: 1h}}}"), nil)
	m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	u.answer(u.read(servicerequests.ReadSupplyStatus, m.Device))
	u.pass(time.Hour)
	u.answer(u.read(servicerequests.ReadSupplyStatus, m.Device))
	var held []dcc.Quarantined
	if u.control("GET", "/sim/v1/quarantine", "", &held); len(held) != 0 {
		t.Errorf("%d held back", len(held))
	}
}

// TestAllocation: a User over its allocation gets 503 and is told when to come
// again, in real time; another User is not held up.
func TestAllocation(t *testing.T) {
	t.Parallel()
	files, err := smki.TestFolder{Seed: []byte("other"), Supplier: fault.LastResort}.Files()
	if err != nil {
		t.Fatal(err)
	}
	other := folderOf(t, files)
	u := newUser(t, parseFaults(t, "dcc: {allocation: {per_second: 0.001, burst: 1}}"), func(o *devicesim.Options) {
		o.Clock = clock.Clock{Anchor: time.Now(), Speed: 100}
		o.Users = []dcc.User{{
			XMLSigning: other.Supplier.XMLSigning.Certificate, DigitalSigning: other.Supplier.DigitalSigning.Certificate,
			KeyAgreement: other.Supplier.KeyAgreement.Certificate,
		}}
	})
	m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	if code := u.code(u.readRequest(m.Device)); code != servicerequests.Acknowledged {
		t.Fatal(code)
	}
	response, err := u.client.Post("http://"+u.sim.DUISAddr()+"/api/v1/serviceS", "application/xml", bytes.NewReader(u.readRequest(m.Device)))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	// A thousand seconds of a clock that runs a hundred times as fast.
	if after := response.Header.Get("Retry-After"); response.StatusCode != http.StatusServiceUnavailable || after != "10" {
		t.Errorf("status %d, Retry-After %q", response.StatusCode, after)
	}
	u.folder = other
	id := servicerequests.RequestID{Originator: fault.LastResort, Target: m.Device, Counter: 1}
	if code := u.code(u.request(duis.Request{ID: id, Service: servicerequests.ReadSupplyStatus})); code != servicerequests.NotRegistered {
		t.Errorf("another User gets %s", code)
	}
}

// TestRegistrationMoves: once the market participant ids have moved, every meter of
// the failed supplier answers E4, and the truth says so.
func TestRegistrationMoves(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "dcc: {registration: {moves_after: 2h}}"), nil)
	m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	if code := u.code(u.readRequest(m.Device)); code != servicerequests.Acknowledged {
		t.Errorf("before: %s", code)
	}
	u.pass(2 * time.Hour)
	for i := range u.fleet.Len() {
		device := u.fleet.Meter(i).Device
		if now, _ := u.sim.Device(device); now.Supplier == smki.TestSupplier {
			t.Errorf("%s is still the failed supplier's", device)
		}
	}
	if code := u.code(u.readRequest(m.Device)); code != servicerequests.NotRegistered {
		t.Errorf("after: %s", code)
	}
}

// TestChangeOfSupplier: single meters go as the days do, each by its own draw.
func TestChangeOfSupplier(t *testing.T) {
	t.Parallel()
	gone := func(p fault.Profile, since time.Duration) (n int) {
		for device := range servicerequests.EUI(2000) {
			if p.Rules.Left(1, device+1, 0, since) != 0 {
				n++
			}
		}
		return n
	}
	p := parseFaults(t, "dcc: {change_of_supplier: {share_per_day: 0.05}}")
	before := gone(p, 0)
	day, tenth := gone(p, 24*time.Hour), gone(p, 240*time.Hour)
	if before != 0 || day < 50 || day > 150 || tenth < 900 || tenth > 1100 {
		t.Errorf("of 2000 meters %d are gone at first, %d after a day, %d after ten", before, day, tenth)
	}
}

// TestCertificatesRevoked: from the moment on nothing of the User is taken.
func TestCertificatesRevoked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]servicerequests.ResponseCode{
		"revoked_after: 1h":           servicerequests.UserStatus,
		"revoked_after: 1h, code: E1": servicerequests.NotAUser,
	} {
		u := newUser(t, parseFaults(t, "dcc: {certificates: {"+text+"}}"), nil)
		m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
		if code := u.code(u.readRequest(m.Device)); code != servicerequests.Acknowledged {
			t.Errorf("before: %s", code)
		}
		u.pass(time.Hour)
		if code := u.code(u.readRequest(m.Device)); code != want {
			t.Errorf("%s: %s after, want %s", text, code, want)
		}
		for element, want := range map[string]string{
			"<CertificateSubjectName>" + smki.TestSupplier.String() + "</CertificateSubjectName>": "R",
			"<CertificateSubjectName>" + smki.TestDCC.String() + "</CertificateSubjectName>":      "I",
			"<CertificateSubjectAltName>" + m.Device.String() + "</CertificateSubjectAltName>":    "I",
		} {
			var found struct {
				Statuses []string `xml:"Result>CertificateStatus"`
			}
			u.smki("certificatesearch", "<CertificateSearchRequest>"+element+"</CertificateSearchRequest>", &found)
			if len(found.Statuses) == 0 || slices.ContainsFunc(found.Statuses, func(status string) bool { return status != want }) {
				t.Errorf("%s: statuses %v, want %s", element, found.Statuses, want)
			}
		}
	}
}

// TestSuspended: the DCC sends nothing to a device that is Suspended, and its
// inventory says why.
func TestSuspended(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "groups: [{device_types: [ESME], suspended: 1}]"), nil)
	esme := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	gsme := u.choose("gas on supply", onSupply(servicerequests.GSME))
	for m, want := range map[fleet.Meter]servicerequests.ResponseCode{esme: servicerequests.DeviceStatus, gsme: servicerequests.Acknowledged} {
		if code := u.code(u.readRequest(m.Device)); code != want {
			t.Errorf("%s: %s, want %s", m.Type, code, want)
		}
		request := u.request(duis.Request{ID: u.newID(smki.TestDCC), Service: servicerequests.ReadInventory, InventoryDevice: m.Device})
		inventory := u.proven(u.post("/api/v1/serviceD", request), u.folder.DCC.XMLSigning.Certificate).Content.(duis.Inventory)
		for _, device := range inventory {
			if suspended := device.Status == "Suspended"; suspended != (device.Type == "ESME") {
				t.Errorf("%s is %s", device.Type, device.Status)
			}
		}
	}
}

// TestDutyCycleDiscard: a DCC Alert names the Command that a hub dropped; then the
// DCC gives up on it.
func TestDutyCycleDiscard(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, "duty_cycle_discard: 1"), nil)
	m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
	id := u.read(servicerequests.ReadSupplyStatus, m.Device)
	alert, ok := u.next().Content.(duis.DCCAlert)
	if event, discarded := alert.Event.(duis.MessageDiscarded); !ok || !discarded || event.Request != id || event.Hub != m.Hub || event.Message != duis.DiscardedCommand {
		t.Errorf("%+v", alert)
	}
	if r := u.next(); r.RequestID != id || r.Code != servicerequests.NoResponse {
		t.Errorf("%s for %s", r.Code, r.RequestID)
	}
}

// TestUnreachableAndLate: E20 and E21 come when the DCC's windows have passed.
func TestUnreachableAndLate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]servicerequests.ResponseCode{
		"unreachable: 1\ndcc: {windows: {unreachable: 30m}}":                                               servicerequests.Unreachable,
		"latency: {median: 1h, tail: 1h}\ndcc: {windows: {no_answer: 30m}}":                                servicerequests.NoResponse,
		"groups: [{outage: {after: 0s, lasts: 10h}}]\ndcc: {windows: {unreachable: 30m}}":                  servicerequests.Unreachable,
		"latency: {class: on_demand}\nlost_response: 1\ndcc: {windows: {no_answer: 30m}}":                  servicerequests.NoResponse,
		"latency: {class: on_demand}\ngroups: [{outage: {after: 0s, lasts: 10m}}]":                         servicerequests.Success,
		"latency: {class: two_hours}\ndcc: {windows: {no_answer: 3h}}":                                     servicerequests.Success,
		"latency: {class: on_demand}\nclock_skew: -10m\nflapping: {up: 20m, down: 5m}\n":                   servicerequests.Success,
		"latency: {class: on_demand}\ngroups: [{models: [none], no_answer: 1}]":                            servicerequests.Success,
		"latency: {class: on_demand}\ngroups: [{regions: [4G North, 4G South, 4G Central], no_answer: 1}]": servicerequests.Success,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, parseFaults(t, text), nil)
			m := u.choose("electricity on supply", onSupply(servicerequests.ESME))
			asked := u.clock.Now()
			id := u.read(servicerequests.ReadSupplyStatus, m.Device)
			r := u.until(id)
			if r.Code != want {
				t.Errorf("%s, want %s", r.Code, want)
			}
			if took := r.At.Sub(asked); want != servicerequests.Success && took < 30*time.Minute-time.Second { // a window begins with the request's own instant
				t.Errorf("%s after %v", r.Code, took)
			}
		})
	}
}
