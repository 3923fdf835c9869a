package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"safemode/engine"
	"safemode/engine/directory"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// inventory asks the DCC for what it has of one planned device. That is a Service Request,
// signed with the supplier's key: so it goes only if the sweep itself might begin now.
func (f *preflight) inventory(ctx context.Context) {
	const name = "probe: inventory of a planned device (8.2)"
	if !f.planned() {
		f.hold(name, "", errors.New("not asked: no plan is given"), "--plan")
		return
	}
	if err := f.mayAsk(); err != nil {
		f.hold(name, "", fmt.Errorf("not asked: %w", err), "")
		return
	}
	target, err := f.first()
	var asked engine.Asked
	if err == nil {
		over := uint64(0)
		for _, c := range f.foreseen.Counters {
			if c.Originator == target.Originator && c.Err == nil {
				over = c.Over
			}
		}
		asked, err = engine.AskInventory(ctx, f.begin.options, target.Originator, target.Device, over, time.Now())
	}
	if errors.Is(err, engine.ErrSignerAlone) {
		f.hold(name, "not asked: the signer signs for a sweep alone", nil, "")
		return
	}
	detail := fmt.Sprintf("%d devices of its home, signed by the DCC, in answer to %s", len(asked.Devices), asked.ID)
	for _, d := range asked.Devices {
		if d.ID == target.Device && d.DeviceType() != target.Type {
			err = fmt.Errorf("the DCC has %v as %s, the plan as %v", d.ID, d.Type, target.Type)
		}
	}
	f.hold(name, detail, err, "no sweep gets further than this: ask the DCC's service desk with the Request ID")
}

// mayAsk says what keeps the sweep from beginning now.
func (f *preflight) mayAsk() error {
	for _, failed := range f.failed {
		if failed {
			return errors.New("the sweep would be refused for its files")
		}
	}
	return errors.Join(f.foreseen.Err(), f.begin.plan.Direction.Covers(servicerequests.ReadInventory, servicerequests.UnknownDevice))
}

// listed holds the DCC's certificates and our own against what the SMKI service lists.
func (f *preflight) listed(ctx context.Context, d *directory.Directory) {
	var all []*smki.Certificate
	all = append(append(all, f.begin.options.DCC.Transform...), f.begin.options.DCC.XMLSigning...)
	for _, id := range f.begin.options.Identities {
		all = append(all, id.XMLSigning.Certificate, id.DigitalSigning.Certificate, id.KeyAgreement.Certificate)
	}
	done := map[string]bool{}
	for _, c := range all {
		if c == nil || done[string(c.Raw)] {
			continue
		}
		done[string(c.Raw)] = true
		f.hold(fmt.Sprintf("probe: certificate %s of %v", c.SerialText(), c.EUI), "the SMKI service lists it as in use", d.Listed(ctx, c),
			"install the one that is in use")
	}
}

// wrong asks the DCC what nobody may ask: a document that is no request. It must be refused,
// and not be taken for one.
func (f *preflight) wrong(ctx context.Context, client *http.Client) {
	reply, err := post(ctx, client, strings.TrimSuffix(f.begin.conf.DCC.URL, "/")+"/api/v1/serviceD", "<NoRequest></NoRequest>")
	detail := ""
	if err == nil {
		detail = fmt.Sprintf("HTTP status %d", reply)
		if reply/100 != 4 {
			err = fmt.Errorf("HTTP status %d where 4xx is final and 5xx is asked again", reply)
		}
	}
	f.hold("probe: what is no request", detail, err, "the engine takes a 4xx as final: tell its makers")
}

func post(ctx context.Context, client *http.Client, url, body string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/xml")
	reply, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	return reply.StatusCode, nil
}
