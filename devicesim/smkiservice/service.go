package smkiservice

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

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

	// Decimal says whether the serials of a device's certificates are written in decimal,
	// which is not how DCC writes them. Nil: none is. It is called from many goroutines.
	Decimal func(device servicerequests.EUI) bool

	// Revoked says whether an organisation's certificates are revoked now. Nil: none
	// are. It is called from many goroutines.
	Revoked func(organisation servicerequests.EUI) bool

	Log *zap.Logger // nil: none
}

// searchedSerials bounds how many device certificates can be retrieved without
// another search: each has two names.
const searchedSerials = 1 << 16

// service answers both requests.
type service struct {
	Options
	fixed    map[string]*smki.Certificate             // organisations and authorities by serial
	searched *recent.Map[string, servicerequests.EUI] // serial to the certificate's device
	answers  atomic.Uint64                            // how many were given
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
			for _, name := range s.names(c) {
				s.fixed[name] = c
			}
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
		for _, name := range s.names(c) {
			s.searched.Put(name, c.EUI)
		}
	}
	return found, err
}

// serial is how the service writes a certificate's serial: 32 hexadecimal digits in upper
// case, leading zeros and all, or decimal.
func (s *service) serial(c *smki.Certificate) string {
	if c.Device && s.Decimal != nil && s.Decimal(c.EUI) {
		return c.SerialText()
	}
	return fmt.Sprintf("%032X", c.Serial)
}

// names are the texts that name a certificate: the very one that a search gives, and the
// one that DCC Boxed's client library asks by for a serial that it has from elsewhere.
func (s *service) names(c *smki.Certificate) [2]string {
	return [2]string{s.serial(c), c.Serial.Text(16)}
}

// retrieve returns the certificate of a serial, nil when there is none.
func (s *service) retrieve(serial string) (*smki.Certificate, error) {
	if c, ok := s.fixed[serial]; ok {
		return c, nil
	}
	device, ok := s.searched.Get(serial)
	if !ok {
		return nil, nil
	}
	certificates, err := s.Devices.Certificates(device)
	for _, c := range certificates {
		if names := s.names(c); slices.Contains(names[:], serial) {
			return c, nil
		}
	}
	return nil, err
}
