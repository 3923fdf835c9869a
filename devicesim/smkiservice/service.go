package smkiservice

import (
	"math/big"
	"net/http"

	"safemode/servicerequests"
	"safemode/servicerequests/recent"
	"safemode/servicerequests/smki"

	"go.uber.org/zap"
)

// Devices knows the certificates of devices. Its method is called from many
// goroutines.
type Devices interface {
	// Certificates returns a device's certificates, and none for a device that
	// it does not know.
	Certificates(device servicerequests.EUI) ([]*smki.Certificate, error)
}

// Options is what a service serves.
type Options struct {
	Organisations []*smki.Certificate // found by EUI
	Authorities   []*smki.Certificate // found by common name
	Devices       Devices

	// Revoked says whether an organisation's certificates are revoked now. Nil: none
	// are. It is called from many goroutines.
	Revoked func(organisation servicerequests.EUI) bool

	Log *zap.Logger // nil: none
}

// searchedSerials bounds how many device certificates can be retrieved without
// another search.
const searchedSerials = 1 << 15

// service answers both requests.
type service struct {
	Options
	fixed    map[string]*smki.Certificate             // organisations and authorities by serial
	searched *recent.Map[string, servicerequests.EUI] // serial to the device whose certificate it is
}

// New returns the service's handler.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s := &service{
		Options:  o,
		fixed:    map[string]*smki.Certificate{},
		searched: recent.New[string, servicerequests.EUI](searchedSerials),
	}
	for _, list := range [][]*smki.Certificate{o.Organisations, o.Authorities} {
		for _, c := range list {
			s.fixed[c.SerialText()] = c
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /services/certificatesearch", s.serveSearch)
	mux.HandleFunc("POST /services/retrievecertificate", s.serveRetrieve)
	return mux
}

// search returns the certificates that fit the request.
func (s *service) search(request searchRequest) ([]*smki.Certificate, error) {
	var found []*smki.Certificate
	for _, c := range s.Authorities {
		if request.subjectName != "" && c.CommonName == request.subjectName {
			found = append(found, c)
		}
	}
	for _, c := range s.Organisations {
		if request.organisation != 0 && c.EUI == request.organisation {
			found = append(found, c)
		}
	}
	if request.device == 0 {
		return found, nil
	}
	found, err := s.Devices.Certificates(request.device)
	for _, c := range found {
		s.searched.Put(c.SerialText(), c.EUI)
	}
	return found, err
}

// retrieve returns the certificate of a serial, nil when there is none. The
// serial is decimal, as a search gives it, or else hexadecimal, as DCC Boxed's
// client library asks for one that it knows from elsewhere.
func (s *service) retrieve(serial string) (*smki.Certificate, error) {
	c, err := s.find(serial)
	if c != nil || err != nil {
		return c, err
	}
	if n, ok := new(big.Int).SetString(serial, 16); ok {
		return s.find(n.String())
	}
	return nil, nil
}

func (s *service) find(serial string) (*smki.Certificate, error) {
	if c, ok := s.fixed[serial]; ok {
		return c, nil
	}
	device, ok := s.searched.Get(serial)
	if !ok {
		return nil, nil
	}
	certificates, err := s.Devices.Certificates(device)
	for _, c := range certificates {
		if c.SerialText() == serial {
			return c, nil
		}
	}
	return nil, err
}
