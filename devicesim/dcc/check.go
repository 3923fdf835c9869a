package dcc

import (
	"slices"

	"safemode/servicerequests"

	"go.uber.org/zap"
)

// notSimulated answers what a DCC would do and this one cannot. It is no code of the
// DCC's, so that nobody takes it for one.
const notSimulated servicerequests.ResponseCode = "E999999"

// target is the device of a request.
type target struct {
	meter int // index in the fleet; a GPF has its gas meter's
	kind  servicerequests.DeviceType
}

// check decides whether the request may go on. An empty code means yes. The
// order is the package comment's.
func (d *DCC) check(s service, q request) (target, servicerequests.ResponseCode) {
	refusal := d.Register.Refusal(q.user.eui())
	switch {
	case !slices.Contains(s.variants, q.CommandVariant):
		return target{}, servicerequests.WrongService
	case local(q):
		return target{}, servicerequests.NotLocal
	case !slices.Contains(q.Variant.CommandVariants, q.CommandVariant):
		return target{}, servicerequests.WrongVariant
	case refusal != "":
		return target{}, refusal
	case q.ID.Originator != q.user.eui():
		return target{}, servicerequests.NotAUser
	case q.user.Roles != nil && len(q.user.Roles) == 0:
		return target{}, servicerequests.NotAUser
	case !slices.ContainsFunc(q.Variant.Roles, q.user.has):
		return target{}, servicerequests.NotInRole
	case q.FirstInSequence, q.Preceding != servicerequests.RequestID{}, d.datedByDCC(q):
		d.Log.Warn("a sequence or a date that the DCC would keep is not simulated", zap.Stringer("request_id", q.ID), zap.String("srv", q.SRV))
		return target{}, notSimulated
	case q.CommandVariant == servicerequests.DCCOnly && q.ID.Target != d.eui:
		return target{}, servicerequests.NoSuchDevice
	case q.CommandVariant == servicerequests.DCCOnly:
		return target{}, ""
	}
	t, ok := d.find(q.ID.Target)
	switch {
	case !ok:
		return t, servicerequests.NoSuchDevice
	case !fits(q, t.kind):
		return t, servicerequests.TypeMismatch
	case !q.user.has(roleFor(t.kind)):
		return t, servicerequests.NotInRole
	case d.Register.Supplier(t.meter) != q.ID.Originator:
		return t, servicerequests.NotRegistered
	case d.Register.Suspended(q.ID.Target):
		return t, servicerequests.DeviceStatus
	}
	return t, ""
}

// local says whether the request is for local delivery, which this DCC has not.
func local(q request) bool {
	if q.Variant.Critical {
		return q.CommandVariant == 6 || q.CommandVariant == 7
	}
	return q.Variant.UseCases != nil && (q.CommandVariant == 2 || q.CommandVariant == 3)
}

// datedByDCC says whether the DCC itself would have to keep the request until a
// later time. A dated 1.6 is kept by the meter.
func (d *DCC) datedByDCC(q request) bool {
	return !q.ExecutionDateTime.IsZero() && !q.Variant.Critical
}

func (d *DCC) find(device servicerequests.EUI) (t target, ok bool) {
	if t.meter, ok = d.Fleet.Find(device); ok {
		return target{t.meter, d.Fleet.Meter(t.meter).Type}, true
	}
	t.meter, ok = d.Fleet.FindGPF(device)
	return target{t.meter, servicerequests.GPF}, ok
}

// fits says whether the device type knows the service. A Signed Pre-Command of
// 1.6 does not say in XML which mode it is for; both suit the same devices.
func fits(q request, kind servicerequests.DeviceType) bool {
	if q.Variant.UseCases == nil {
		return kind == servicerequests.ESME || kind == servicerequests.GSME
	}
	return len(q.Variant.UseCases[kind]) > 0
}

// roleFor is the role that a supplier needs for a device (assumption).
func roleFor(kind servicerequests.DeviceType) servicerequests.Role {
	if kind == servicerequests.ESME {
		return servicerequests.ImportSupplier
	}
	return servicerequests.GasSupplier
}
