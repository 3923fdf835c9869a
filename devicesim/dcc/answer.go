package dcc

import (
	"net/http"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/xmldsig"

	"go.uber.org/zap"
)

// answer is what goes back over the connection. The zero answer is a fault of
// the simulator itself.
type answer struct {
	code     servicerequests.ResponseCode
	body     []byte          // nil: there is nothing to say but a status
	response duis.Response   // what the body says
	broken   bool            // the connection breaks instead
	wait     time.Duration   // over 0: the User has had its allocation, and shall wait so long in real time
	page     bool            // a page of HTML comes instead
	after    <-chan struct{} // closed when the answer may go; nil: at once
}

// status answers a request that gets no DUIS response.
func (a answer) status() int {
	if a.code == servicerequests.InvalidFormat {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// refuse answers with an error code, unsigned.
func (d *DCC) refuse(q request, code servicerequests.ResponseCode) answer {
	return d.unsigned(q, code, d.Clock.Now())
}

// unsigned answers with a code and no data. A request that does not name
// itself cannot be answered by a DUIS response.
func (d *DCC) unsigned(q request, code servicerequests.ResponseCode, at time.Time) answer {
	r := d.respond(q, code, at, nil)
	body, err := d.write(r, nil)
	if err != nil {
		return answer{code: code}
	}
	return answer{code: code, body: body, response: r}
}

// signed answers with data.
func (d *DCC) signed(q request, at time.Time, content duis.Content, s *xmldsig.Signer) answer {
	r := d.respond(q, servicerequests.Success, at, content)
	body, err := d.write(r, s)
	if err != nil {
		d.Log.Error("response cannot be made", zap.Stringer("request_id", q.ID), zap.Error(err))
		return answer{}
	}
	return answer{code: servicerequests.Success, body: body, response: r}
}

// stamp is an instant as the DCC's clock has it.
func (d *DCC) stamp(at time.Time) time.Time { return at.Add(d.rules.Load().ClockSkew) }

func (d *DCC) respond(q request, code servicerequests.ResponseCode, at time.Time, content duis.Content) duis.Response {
	return duis.Response{
		RequestID: q.ID, Code: code, At: d.stamp(at),
		ServiceReference: q.ServiceReference, SRV: q.SRV, Content: content,
	}
}
