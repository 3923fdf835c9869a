package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/strictyaml"
)

// ErrProfile marks a profile that is not known or not valid.
var ErrProfile = errors.New("fault profile")

// extension of a profile's file; the rest of the file's name is the profile's.
const extension = ".yaml"

// Named returns a profile of a folder by its name; names with commas between them are
// one profile of all together, see [Combine]. An unknown name wraps [ErrProfile] and lists
// those that exist.
func Named(files fs.FS, name string) (Profile, error) {
	names, err := Names(files)
	if err != nil {
		return Profile{}, err
	}
	var texts [][]byte
	for one := range strings.SplitSeq(name, ",") {
		if !slices.Contains(names, one) {
			return Profile{}, fmt.Errorf("%w %q: there is none of that name, but %s", ErrProfile, one, strings.Join(names, ", "))
		}
		text, err := fs.ReadFile(files, one+extension)
		if err != nil {
			return Profile{}, fmt.Errorf("%w: %w", ErrProfile, err)
		}
		texts = append(texts, text)
	}
	p, err := Combine(texts...)
	p.Name = name
	return p, err
}

// Names lists the profiles of a folder.
func Names(files fs.FS) ([]string, error) {
	if files == nil {
		return nil, nil
	}
	names, err := fs.Glob(files, "*"+extension)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], extension)
	}
	return names, nil
}

// Parse reads a profile file. It reports every fault with its path; errors
// wrap [ErrProfile].
func Parse(text []byte) (Profile, error) { return Combine(text) }

// Combine reads profile files into one profile: of the effects that hold for the whole
// fleet the greatest count, groups are those of all, and of any other key the last file
// that gives it.
func Combine(texts ...[]byte) (Profile, error) {
	p := defaults()
	for i, text := range texts {
		before := p
		p.Groups = nil
		if err := strictyaml.Unmarshal(text, &p); err != nil {
			return Profile{}, fmt.Errorf("%w: %w", ErrProfile, err)
		}
		if i > 0 { // else what a file gives counts, be it less than the defaults
			p.Effects.add(&before.Effects)
		}
		p.Groups = slices.Concat(before.Groups, p.Groups)
	}
	p.resolve()
	return p, nil
}

// Validate returns every rule that the profile breaks, each with its path.
func (p *Profile) Validate() error {
	v := &validator{}
	v.check(p.Name != "", "name", "want text")
	v.effects("", &p.Effects)
	v.check((p.Outage.Lasts > 0) == (p.Outage.Region != servicerequests.UnknownRegion), "outage", "want region and lasts, or neither")
	v.spans("outage.", span{"after", p.Outage.After}, span{"lasts", p.Outage.Lasts})
	v.check(len(p.Groups) <= mostGroups, "groups", "%d: want %d at most", len(p.Groups), mostGroups)
	for i := range p.Groups {
		g, at := &p.Groups[i], fmt.Sprintf("groups[%d].", i)
		v.effects(at, &g.Effects)
		v.share(at+"share", g.Share)
		v.spans(at+"outage.", span{"after", g.Outage.After}, span{"lasts", g.Outage.Lasts})
	}
	for name, share := range p.LieShares {
		at := "lies." + name
		switch {
		case name == lyingAttempts:
			v.check(share >= 0 && share == math.Trunc(share) && share < 1<<53, at, "%v: want a whole number, 0 or more", share)
		case slices.Index(lieNames[:], name) <= int(Truth):
			v.check(false, at, "unknown key")
		default:
			v.share(at, share)
		}
	}
	v.share("other_models", p.OtherModels)
	for _, share := range p.Variety.shares() {
		v.share("variety."+share.key, *share.is)
	}
	v.check(p.Variety.OtherTraffic >= 0 && p.Variety.OtherTraffic <= 1000, "variety.other_traffic", "%v: want 0 to 1000 messages a day for each meter", p.Variety.OtherTraffic)
	v.check(p.Hubs.PerWake >= 0 && p.Hubs.PerWake <= mostPerWake, "hubs.per_wake", "%d: want 1 to %d, or 0 for all", p.Hubs.PerWake, mostPerWake)
	v.rules(&p.Rules)
	return errors.Join(v.faults...)
}

// mostGroups is how many groups can be told apart by chance.
const mostGroups = 64

// mostPerWake is the largest number of messages a wake; more would be all.
const mostPerWake = 8

// lyingAttempts is the one key of lies that is no lie.
const lyingAttempts = "attempts"

// resolve works out what follows from the keys.
func (p *Profile) resolve() {
	p.LyingAttempts = uint64(p.LieShares[lyingAttempts])
	for l := Truth + 1; l < lieCount; l++ {
		p.lies[l] = p.LieShares[lieNames[l]]
	}
	p.Latency.resolve()
	for i := range p.Groups {
		p.Groups[i].Latency.resolve()
	}
}

// resolve puts a class's times in its place.
func (l *Latency) resolve() {
	if named, ok := classes[l.Class]; ok && l.Class != "" {
		*l = named
	}
}

type validator struct{ faults []error }

func (v *validator) check(holds bool, path, format string, args ...any) {
	if !holds {
		v.faults = append(v.faults, strictyaml.Faultf(path, format, args...))
	}
}

func (v *validator) share(path string, share float64) {
	v.check(share >= 0 && share <= 1, path, "%v: want a share from 0 to 1", share) // NaN fails both
}

// span is a duration and its key.
type span struct {
	key string
	is  time.Duration
}

func (v *validator) spans(at string, spans ...span) {
	for _, s := range spans {
		v.check(s.is >= 0, at+s.key, "%v: want a span of time, 0 or more", s.is)
	}
}

func (v *validator) effects(at string, e *Effects) {
	for k, share := range e.shares() {
		v.share(at+kindNames[k], *share)
	}
	v.spans(at, span{"delay", e.Delay}, span{"counter_lead", e.CounterLead}, span{"latency.median", e.Latency.Median}, span{"latency.tail", e.Latency.Tail},
		span{"flapping.up", e.Flapping.Up}, span{"flapping.down", e.Flapping.Down})
	_, known := classes[e.Latency.Class]
	v.check(known || e.Latency.Class == "", at+"latency.class", "%q: want %s, %s or %s", e.Latency.Class, onDemand, twoHours, aDay)
	v.check(e.Latency.Tail >= e.Latency.Median, at+"latency.tail", "%v is under the median, %v", e.Latency.Tail, e.Latency.Median)
	v.flapping(at+"flapping", e.Flapping)
}

func (v *validator) flapping(at string, f Flapping) {
	v.check((f.Up > 0) == (f.Down > 0), at, "want up and down, or neither")
}

// revocationCodes are the codes with which a DCC may answer a User with a revoked
// certificate (assumption: no public source says which it is).
var revocationCodes = []servicerequests.ResponseCode{
	servicerequests.NotAUser, servicerequests.UserStatus, servicerequests.InvalidFormat,
}

func (v *validator) rules(r *Rules) {
	v.check(r.Allocation.PerSecond >= 0 && r.Allocation.PerSecond <= 1e6, "dcc.allocation.per_second", "%v: want 0 to a million", r.Allocation.PerSecond)
	v.check(r.Allocation.Burst >= 0, "dcc.allocation.burst", "%d: want 0 or more", r.Allocation.Burst)
	for srv, t := range r.Thresholds {
		at := "dcc.anomaly_thresholds." + srv
		_, known := servicerequests.FindVariant(func(known *servicerequests.Variant) bool { return known.SRV == srv && known.UseCases != nil })
		v.check(known, at, "no SRV that goes to a device")
		v.check(t.Limit >= 0, at+".limit", "%d: want 0 or more", t.Limit)
		v.check(t.Per > 0, at+".per", "%v: want the period that the limit is for", t.Per)
	}
	v.spans("dcc.windows.", span{"unreachable", r.Windows.Unreachable}, span{"no_answer", r.Windows.NoAnswer}, span{"hub_holds", r.Windows.HubHolds})
	v.spans("dcc.", span{"registration.moves_after", r.Registration.MovesAfter}, span{"certificates.revoked_after", r.Certificates.RevokedAfter})
	v.spans("dcc.", span{"rotation.after", r.Rotation.After}, span{"rotation.dcc_after", r.Rotation.DCCAfter})
	flaps := r.RegistrationFlaps
	v.share("dcc.registration_flaps.share", flaps.Share)
	v.spans("dcc.registration_flaps.", span{"up", flaps.Up}, span{"down", flaps.Down})
	v.flapping("dcc.registration_flaps", flaps.Flapping)
	v.check((flaps.Share > 0) == (flaps.Down > 0), "dcc.registration_flaps", "want share, up and down, or none of them")
	v.share("dcc.rotation.devices", r.Rotation.Devices)
	v.check((r.Rotation.After > 0) == (r.Rotation.Devices > 0), "dcc.rotation", "want devices and after, or neither")
	v.share("dcc.change_of_supplier.share_per_day", r.ChangeOfSupplier.SharePerDay)
	v.switching(&r.SwitchingDays)
	v.check(r.Certificates.Code == "" || slices.Contains(revocationCodes, r.Certificates.Code),
		"dcc.certificates.code", "%q: want one of %v", r.Certificates.Code, revocationCodes)
}

// mostDays bounds the switching days of a profile.
const mostDays = 366

func (v *validator) switching(s *SwitchingDays) {
	const at = "dcc.switching_days"
	v.share(at+".share", s.Share)
	v.share(at+".unlisted", s.Unlisted)
	v.share(at+".untold", s.Untold)
	v.share(at+".flapping", s.Flapping)
	v.spans(at+".", span{"begun", s.Begun}, span{"away", s.Away}, span{"back", s.Back})
	v.check(s.Days >= 0 && s.Days <= mostDays, at+".days", "%d: want 1 to %d", s.Days, mostDays)
	v.check((s.Share > 0) == (s.Days > 0), at, "want share and days, or neither")
	v.check((s.Flapping > 0) == (s.Away > 0) && (s.Flapping > 0) == (s.Back > 0), at, "want flapping, away and back, or none of them")
}
