package proof

import (
	"errors"
	"fmt"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// Reply proves the synchronous answer to the request with this ID. It gives one
// of: I0 with a Pre-Command or an inventory, signed by the key that may; or an
// acknowledgement or error without data, which may be unsigned. The caller
// checks that the kind of answer fits the request.
func (v *Verifier) Reply(raw []byte, id servicerequests.RequestID) (duis.Response, error) {
	o, err := v.read(raw)
	if err != nil {
		return duis.Response{}, err
	}
	if err := o.checkReply(id); err != nil {
		return duis.Response{}, o.fault(ErrUnverified, err)
	}
	return o.Response, nil
}

func (o outer) checkReply(id servicerequests.RequestID) error {
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
