package dcc

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"

	"go.uber.org/zap"
)

// maxBody is far above any DUIS request (assumption).
const maxBody = 1 << 20

// service is one of the DCC's three services and the Command Variants it takes.
type service struct {
	name     string
	variants []servicerequests.CommandVariant
}

// services are by path. Variants 2, 3, 6 and 7, for local delivery, go with
// their service here and are refused as inapplicable later.
var services = map[string]service{
	"/api/v1/serviceT": {"transform", []servicerequests.CommandVariant{4}},
	"/api/v1/serviceS": {"send_command", []servicerequests.CommandVariant{1, 3, 5, 7}},
	"/api/v1/serviceD": {"non_device", []servicerequests.CommandVariant{2, 6, 8}},
}

// request is a Service Request with a verified signature.
type request struct {
	duis.ReceivedRequest
	raw  []byte // as received
	user *User  // who signed it
}

// serve answers one POST.
func (d *DCC) serve(w http.ResponseWriter, r *http.Request, s service) {
	raw, status := readBody(w, r)
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	a := d.answer(s, raw)
	if a.wait == 0 {
		d.metrics.requests.WithLabelValues(s.name, string(a.code)).Inc()
	}
	if a.after != nil {
		d.wait(r, a.after)
	}
	switch {
	case a.wait > 0:
		d.metrics.throttled.Inc()
		throttle(w, a.wait)
	case a.broken:
		panic(http.ErrAbortHandler) // net/http's way to break the connection
	case a.page:
		writePage(w)
	case a.body == nil:
		w.WriteHeader(a.status())
	default:
		w.Header().Set("Content-Type", "application/xml")
		// A User that has gone away needs no answer.
		_, _ = w.Write(a.body)
	}
}

func readBody(w http.ResponseWriter, r *http.Request) (body []byte, status int) {
	contentType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || contentType != "application/xml" {
		return nil, http.StatusUnsupportedMediaType
	}
	var read bytes.Buffer
	read.Grow(int(min(max(r.ContentLength, 0), 16<<10)) + bytes.MinRead) // and for the end to be seen
	_, err = read.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return nil, http.StatusRequestEntityTooLarge
	}
	if err != nil {
		return nil, http.StatusBadRequest
	}
	return read.Bytes(), 0
}

// answer is the whole of a request's synchronous part.
func (d *DCC) answer(s service, raw []byte) answer {
	q, err := d.read(raw)
	if errors.Is(err, duis.ErrUnknownService) && q.user != nil {
		d.Log.Warn("a service that is not simulated was asked for", zap.Stringer("request_id", q.ID), zap.String("srv", q.SRV))
		return d.refuse(q, notSimulated)
	}
	if err != nil {
		d.Log.Debug("request refused", zap.String("service", s.name), zap.Error(err))
		return d.refuse(q, servicerequests.InvalidFormat)
	}
	if wait, ok := d.rules.Load().pass(q.user.eui(), d.Clock.Now()); !ok {
		return answer{wait: d.Clock.Real(wait)}
	}
	t, code := d.check(s, q)
	if code != "" {
		refusal := d.refuse(q, code)
		d.noteReply(q, refusal, false)
		return refusal
	}
	honest := d.act(q, t)
	if granted := honest.code == servicerequests.Success || honest.code == servicerequests.Acknowledged; !granted || honest.broken {
		d.noteReply(q, honest, honest.broken)
	}
	return d.say(q, t, honest)
}

// act does what a request that has passed the checks asks for.
func (d *DCC) act(q request, t target) answer {
	switch q.CommandVariant {
	case servicerequests.TransformRequest:
		return d.transform(q, t)
	case servicerequests.SendSignedCommand:
		return d.sendSigned(q, t)
	case servicerequests.DCCOnly:
		return d.readInventory(q)
	default:
		return d.sendRead(q, t)
	}
}

// read verifies and decodes a request. With an error the request has only the
// fields that an answer needs, as far as they could be read.
func (d *DCC) read(raw []byte) (request, error) {
	tree, err := xmltree.Parse(raw)
	if err != nil {
		return request{}, err
	}
	defer tree.Release()
	signer, err := xmldsig.VerifyTree(tree, d)
	if err != nil {
		unproven, _ := duis.Inspect(raw) // only to say what is refused
		return request{ReceivedRequest: unproven}, fmt.Errorf("signature: %w", err)
	}
	received, err := duis.ReadRequest(tree) // without the Signature
	return request{ReceivedRequest: received, raw: raw, user: d.users[signer]}, err
}
