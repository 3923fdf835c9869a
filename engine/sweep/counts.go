package sweep

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// counts are the numbers for status, metrics and the end of a run.
type counts struct {
	notBegun  int
	done      int // meters that have their verdict
	afters    int // open requests of meters that had their verdict
	verdicts  map[string]int
	classes   [record.Classes]int // requests that have ended
	services  map[servicerequests.Service]*[record.Classes]int
	areas     map[area]*areaCount
	waiting   [ledger.WaitReasons]int
	throttled int
	retries   int
	refusals  []record.Refusal // the last ones, the newest first
	reasons   reasons
	heard     [len(servicerequests.Regions) + 1]heardOf
	moves     [ledger.PhaseCount][ledger.EventCount]int

	contact [2]record.Contact // by fuel
	radius  record.Radius     // it includes what the heads say is exposed
}

func newCounts() counts {
	return counts{verdicts: map[string]int{}, services: map[servicerequests.Service]*[record.Classes]int{}, areas: map[area]*areaCount{}, reasons: reasons{}}
}

// area is one fuel in one region.
type area struct {
	region servicerequests.Region
	gas    bool
}

type areaCount struct {
	meters   int
	verdicts map[string]int
}

func (c *counts) area(h *head) *areaCount {
	at := area{h.region, h.gas()}
	count := c.areas[at]
	if count == nil {
		count = &areaCount{verdicts: map[string]int{}}
		c.areas[at] = count
	}
	return count
}

// planned says whether a region has meters.
func (c *counts) planned(region servicerequests.Region) bool {
	return c.areas[area{region, false}] != nil || c.areas[area{region, true}] != nil
}

func (c *counts) regions() (all []record.RegionStatus) {
	for at, count := range c.areas {
		r := record.RegionStatus{Region: at.region.String(), Fuel: "electricity", Meters: count.meters, Verdicts: maps.Clone(count.verdicts)}
		if at.gas {
			r.Fuel = "gas"
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b record.RegionStatus) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Fuel, b.Fuel))
	})
	return all
}

// ended counts the end of a request, or a change of its outcome.
func (c *counts) ended(service servicerequests.Service, was, is record.Class) {
	count := c.services[service]
	if count == nil {
		count = new([record.Classes]int)
		c.services[service] = count
	}
	c.classes[is]++
	count[is]++
	if was != record.ClassOpen {
		c.classes[was]--
		count[was]--
	}
}

// mostRefusals are shown.
const mostRefusals = 10

// refused notes a refusal for display. Refusals of emergency credit are expected, and left out.
func (c *counts) refused(region servicerequests.Region, service servicerequests.Service, class record.Class, code string, at time.Time) {
	if class != record.ClassRejected && class != record.ClassUnverified && (class != record.ClassNegative || service == servicerequests.ActivateEmergencyCredit) {
		return
	}
	c.refusals = slices.Insert(c.refusals[:min(len(c.refusals), mostRefusals-1)], 0,
		record.Refusal{At: at, SRV: service.SRV(), Region: region.String(), Class: class.String(), Code: code})
}

// contacts are the first contacts by fuel.
func (c *counts) contacts() map[string]record.Contact {
	all := map[string]record.Contact{"electricity": c.contact[0], "gas": c.contact[1]}
	for _, r := range c.regions() {
		fuel := all[r.Fuel]
		fuel.Meters += r.Meters
		all[r.Fuel] = fuel
	}
	return all
}

func classMap(counts *[record.Classes]int) map[string]int {
	classes := map[string]int{}
	for class, n := range counts {
		if n > 0 {
			classes[record.Class(class).String()] = n
		}
	}
	return classes
}
