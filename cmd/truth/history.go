package truth

import (
	"slices"

	"safemode/devicesim/history"
	"safemode/servicerequests"
)

// Service Reference Variants that the judge asks the history for.
const (
	srvSwitch  = "1.6"
	srvArm     = "7.3"
	srvSupply  = "7.4"
	srvMode    = "6.2.9"
	srvBalance = "4.18"
)

const notRegistered = servicerequests.NotRegistered

// answer is a command of the User that a device carried out and answered, and whose
// answer the inbox took as the device gave it.
type answer struct {
	history.Carried
	delivered history.Instant // for the first time
}

// answers lists the honest answers of a device to a service, in the order of execution.
func answers(d history.Device, srv string) (list []answer) {
	for _, c := range d.Carried {
		if _, taken := asked(d, c.Counter); c.SRV != srv || !taken {
			continue
		}
		if at := delivered(d, c.Counter); at != 0 {
			list = append(list, answer{c, at})
		}
	}
	return list
}

// said lists the answers with a value.
func said(d history.Device, srv string) []answer {
	return slices.DeleteFunc(answers(d, srv), func(a answer) bool { return a.Result != 0 })
}

// balances lists what meter and proxy said of the balance, in the order of execution.
func (f Facts) balances() []answer { return f.saidByBoth(srvBalance) }

// modes lists what they said of the payment mode.
func (f Facts) modes() []answer { return f.saidByBoth(srvMode) }

func (f Facts) saidByBoth(srv string) []answer {
	list := append(said(f.Meter, srv), said(f.Proxy, srv)...)
	slices.SortFunc(list, func(a, b answer) int { return int(int64(a.Order) - int64(b.Order)) })
	return list
}

// asked is the service of the User's request with this counter, if the DCC has taken one.
func asked(d history.Device, counter uint64) (srv string, taken bool) {
	for _, a := range d.Accepted {
		if a.Counter == counter {
			return a.SRV, true
		}
	}
	return "", false
}

// delivered is when the device's own answer to a request came to the inbox; 0: never.
func delivered(d history.Device, counter uint64) history.Instant {
	for _, a := range d.Answers {
		if a.Counter == counter && !a.Bent && a.Code == servicerequests.Success {
			return a.At
		}
	}
	return 0
}

// commands lists the critical commands that the DCC has taken, by acceptance.
func (f Facts) commands() []history.Accepted {
	return slices.DeleteFunc(slices.Clone(f.Meter.Accepted), func(a history.Accepted) bool { return !isCommand(a.SRV) })
}

// lastCommand is the highest counter of those; 0: there was none.
func (f Facts) lastCommand() (last uint64) {
	for _, a := range f.commands() {
		last = max(last, a.Counter)
	}
	return last
}

// isCommand says whether a service changes something on a device.
func isCommand(srv string) bool {
	return srv == srvSwitch || srv == srvArm || srv == "2.5" || srv == "7.1" || srv == "7.2"
}

// never is later than everything that was carried out.
const never = 1<<64 - 1

// first is the order of the first command of the meter that fits.
func (f Facts) first(fits func(srv string) bool) uint64 {
	for _, c := range f.Meter.Carried {
		if fits(c.SRV) {
			return c.Order
		}
	}
	return never
}

func (f Facts) firstSwitch() uint64 {
	return f.first(func(srv string) bool { return srv == srvSwitch })
}
func (f Facts) firstCommand() uint64 { return f.first(isCommand) }

// alerted says when one of some alerts was last delivered; 0: never.
func (f Facts) alerted(codes ...uint16) (at history.Instant) {
	for _, a := range f.Meter.Alerts {
		if slices.Contains(codes, a.Code) {
			at = max(at, a.Delivered)
		}
	}
	return at
}

// both calls a question about the meter, and then about its proxy.
func (f Facts) both(ask func(history.Device) bool) bool { return ask(f.Meter) || ask(f.Proxy) }

// refused says whether the DCC answered a request of a service with a code, at once or later.
// An empty service means any.
func (f Facts) refused(srv string, code servicerequests.ResponseCode) bool {
	return f.both(func(d history.Device) bool {
		return slices.ContainsFunc(d.Replies, func(r history.Reply) bool { return (srv == "" || r.SRV == srv) && r.Code == code }) ||
			slices.ContainsFunc(d.Answers, func(a history.Answer) bool { return a.Code == code && (srv == "" || srvOf(d, a.Counter) == srv) })
	})
}

// bent says whether the User got a lie about a service, or a reply that broke off.
func (f Facts) bent(srv string) bool {
	return f.both(func(d history.Device) bool {
		return slices.ContainsFunc(d.Replies, func(r history.Reply) bool { return r.SRV == srv && r.Bent }) ||
			slices.ContainsFunc(d.Answers, func(a history.Answer) bool { return a.Bent && srvOf(d, a.Counter) == srv })
	})
}

// unanswered says whether a request of a service never got the device's own answer.
func (f Facts) unanswered(srv string) bool {
	return f.bent(srv) || slices.ContainsFunc(f.Meter.Accepted, func(a history.Accepted) bool {
		return a.SRV == srv && delivered(f.Meter, a.Counter) == 0
	})
}

// lastAnswered says whether the latest request of a service has the device's own answer,
// or there was none.
func (f Facts) lastAnswered(srv string) bool {
	var last uint64
	for _, a := range f.Meter.Accepted {
		if a.SRV == srv {
			last = max(last, a.Counter)
		}
	}
	return last == 0 || delivered(f.Meter, last) != 0
}

// negative says whether the device has answered a service with this result.
func (f Facts) negative(srv string, result int) bool {
	return slices.ContainsFunc(answers(f.Meter, srv), func(a answer) bool { return a.Result != 0 && int(a.Result) == result })
}

// succeeded says whether the device has answered a service with success.
func (f Facts) succeeded(srv string) bool { return len(said(f.Meter, srv)) > 0 }

// tried says whether the DCC has taken a command of a service.
func (f Facts) tried(srv string) bool {
	return slices.ContainsFunc(f.Meter.Accepted, func(a history.Accepted) bool { return a.SRV == srv })
}

// srvOf is the service of a request; empty: it was not taken.
func srvOf(d history.Device, counter uint64) string { srv, _ := asked(d, counter); return srv }
