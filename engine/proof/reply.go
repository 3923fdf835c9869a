package proof

import (
	"errors"
	"fmt"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// Reply proves the synchronous answer to the request with this ID. It gives one
// of: I0 with a Pre-Command or an inventory, signed by the key that may; or an
// acknowledgement or error without data, which may be unsigned, because the DCC
// signs neither. A code that affects waiting and retries only (I99, E20, E21) needs
// no proof. An error that would end the request, exclude the meter or halt the sweep
// needs a signature or a channel that proves the DCC (ServerProven): otherwise
// anybody between could stop a sweep with one word. The caller checks that the kind
// of answer fits the request.
func (v *Verifier) Reply(raw []byte, id servicerequests.RequestID) (duis.Response, error) {
	o, err := v.read(raw)
	if err != nil {
		return duis.Response{}, err
	}
	if err := o.checkReply(id, v.serverProven); err != nil {
		return duis.Response{}, o.fault(ErrUnverified, err)
	}
	return o.Response, nil
}

func (o outer) checkReply(id servicerequests.RequestID, serverProven bool) error {
	if o.RequestID != id && (o.signed || o.RequestID != servicerequests.RequestID{}) {
		return fmt.Errorf("it answers %s, not %s", o.RequestID, id)
	}
	if (o.ResponseID != servicerequests.RequestID{}) && o.ResponseID != id.Reversed() {
		return fmt.Errorf("its Response ID is %s", o.ResponseID)
	}
	success := o.Code.Class() == servicerequests.CodeSuccess
	switch o.Content.(type) {
	case nil:
		if success {
			return errors.New("success without data")
		}
		if !o.signed && !serverProven && !steersWaiting(o.Code) {
			return fmt.Errorf("code %s without a signature, over a channel that does not prove the DCC", o.Code)
		}
		return nil
	case duis.PreCommand, duis.Inventory:
		switch {
		case !o.signed:
			return errors.New("data without a signature")
		case !success:
			return fmt.Errorf("data with code %s", o.Code)
		}
		return nil
	}
	return fmt.Errorf("%T is no answer to a POST", o.Content)
}

// steersWaiting says whether a code can only make the engine wait or try again, so
// that it needs no proof.
func steersWaiting(code servicerequests.ResponseCode) bool {
	switch code.Class() {
	case servicerequests.CodeAcknowledged, servicerequests.CodeUnreachable, servicerequests.CodeNoResponse:
		return true
	}
	return false
}
