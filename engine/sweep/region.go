package sweep

import (
	"cmp"
	"maps"
	"slices"

	"safemode/servicerequests"
)

// RegionStatus is where the meters of one fuel in one region stand.
type RegionStatus struct {
	Region   string         `json:"region"`
	Fuel     string         `json:"fuel"` // electricity or gas
	Meters   int            `json:"meters"`
	Verdicts map[string]int `json:"verdicts"` // of Meters
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

func (s *Sweep) area(m head) *areaCount {
	at := area{m.region, m.gas}
	count := s.areas[at]
	if count == nil {
		count = &areaCount{verdicts: map[string]int{}}
		s.areas[at] = count
	}
	return count
}

// countAreas counts the plan's meters.
func (s *Sweep) countAreas() {
	for seat := range int32(s.roll.size) {
		s.area(s.roll.head(seat)).meters++
	}
}

func (s *Sweep) regionStatus() (all []RegionStatus) {
	for at, count := range s.areas {
		r := RegionStatus{Region: at.region.String(), Fuel: "electricity", Meters: count.meters, Verdicts: maps.Clone(count.verdicts)}
		if at.gas {
			r.Fuel = "gas"
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b RegionStatus) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Fuel, b.Fuel))
	})
	return all
}

// countClass counts the end of a request, or that it ended otherwise than it was thought.
func (s *Sweep) countClass(service servicerequests.Service, was, is Class) {
	count := s.services[service]
	if count == nil {
		count = new([Withdrawn + 1]int)
		s.services[service] = count
	}
	s.classes[is]++
	count[is]++
	if was != Open {
		s.classes[was]--
		count[was]--
	}
}
