package devicesim

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxProfile bounds a fault profile that is posted.
const maxProfile = 64 << 10

// control returns the control API. /metrics is there if the registerer can also
// gather, as a registry can.
func (s *Simulator) control(registerer prometheus.Registerer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sim/v1/devices/{eui}", s.serveDevice)
	mux.HandleFunc("POST /sim/v1/devices/{eui}/press", s.servePress)
	mux.HandleFunc("GET /sim/v1/summary", s.serveSummary)
	mux.HandleFunc("POST /sim/v1/faults", s.serveFaults)
	mux.HandleFunc("GET /sim/v1/quarantine", s.serveQuarantine)
	mux.HandleFunc("POST /sim/v1/quarantine/{ref}/release", s.decide(s.dcc.Release))
	mux.HandleFunc("POST /sim/v1/quarantine/{ref}/delete", s.decide(s.dcc.Delete))
	if gatherer, ok := registerer.(prometheus.Gatherer); ok {
		mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	}
	return mux
}

// deviceView is a meter as the control API shows it. Money is in millipence.
type deviceView struct {
	Device           servicerequests.EUI         `json:"device_id"`
	Type             servicerequests.DeviceType  `json:"device_type"`
	Hub              servicerequests.EUI         `json:"chf_id"`
	MPxN             string                      `json:"mpxn"`
	Region           servicerequests.Region      `json:"csp_region"`
	Supplier         servicerequests.EUI         `json:"registered_supplier"`
	Model            string                      `json:"model"`
	Mode             servicerequests.PaymentMode `json:"payment_mode"`
	Supply           servicerequests.SupplyState `json:"supply_state"`
	Balance          servicerequests.Millipence  `json:"balance_millipence"`
	EmergencyCredit  string                      `json:"emergency_credit"`
	EmergencyBalance servicerequests.Millipence  `json:"emergency_balance_millipence"`
	Debt             servicerequests.Millipence  `json:"debt_millipence"`
	Locked           bool                        `json:"locked"`
	Reachable        bool                        `json:"reachable"`
}

func view(m fleet.Meter) deviceView {
	return deviceView{
		Device: m.Device, Type: m.Type, Hub: m.Hub, MPxN: m.MPxN.String(), Region: m.Region,
		Supplier: m.Supplier, Model: m.Model.Name(), Mode: m.Mode, Supply: m.Supply,
		Balance: m.Balance, EmergencyCredit: m.EmergencyCredit.String(), EmergencyBalance: m.EmergencyBalance,
		Debt: m.Debt, Locked: m.Locked, Reachable: m.Reachable,
	}
}

func (s *Simulator) serveDevice(w http.ResponseWriter, r *http.Request) {
	device, ok := pathDevice(w, r)
	if !ok {
		return
	}
	m, ok := s.Device(device)
	if !ok {
		http.Error(w, errNoSuchDevice.Error(), http.StatusNotFound)
		return
	}
	writeJSON(w, view(m))
}

func (s *Simulator) servePress(w http.ResponseWriter, r *http.Request) {
	device, ok := pathDevice(w, r)
	if !ok {
		return
	}
	enabled, err := s.Press(device)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	writeJSON(w, map[string]bool{"enabled": enabled})
}

func (s *Simulator) serveSummary(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Summary()) }

func (s *Simulator) serveFaults(w http.ResponseWriter, r *http.Request) {
	profile, err := s.readProfile(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, err.Error(), status)
		return
	}
	s.SetFaults(profile)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Simulator) readProfile(w http.ResponseWriter, r *http.Request) (fault.Profile, error) {
	if name := r.URL.Query().Get("profile"); name != "" {
		return fault.Named(s.profiles, name)
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxProfile))
	if err != nil {
		return fault.Profile{}, err
	}
	return fault.Parse(text)
}

func (s *Simulator) serveQuarantine(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, s.dcc.Quarantine())
}

// decide lets the User decide on a request that anomaly detection holds back.
func (s *Simulator) decide(decision func(ref string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := decision(r.PathValue("ref")); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// pathDevice reads the EUI in a request's path, and answers the request if there is none.
func pathDevice(w http.ResponseWriter, r *http.Request) (device servicerequests.EUI, ok bool) {
	device, err := servicerequests.ParseEUI(r.PathValue("eui"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return 0, false
	}
	return device, true
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a reader that has gone away needs no answer
}
