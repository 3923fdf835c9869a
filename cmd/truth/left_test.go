package truth

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/devicesim/history"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// leaver is a meter whose home is on the list of transfers with a day so long after the
// beginning of time, left alone an hour before it.
func leaver(day time.Duration) *tale {
	return newTale().with(func(t *tale) {
		t.Listed, t.Margin, t.OnTheWay, t.now = time.Unix(0, int64(day)), time.Hour, time.Minute, history.Instant(20*time.Hour)
		t.Terms.Now, t.left = t.now, history.Instant(day-time.Hour)
	}).called(record.VerdictExcluded, record.ReasonLeaves+" on "+time.Unix(0, int64(day)).UTC().Format(time.RFC3339))
}

// gone is a meter of which the DCC's alert came; 0: it did not.
func gone(t *tale, at history.Instant) *tale {
	t.Meter.Left, t.left = at, history.Instant(9*time.Hour)
	return t.called(record.VerdictExcluded, record.ReasonTransferred+" (N27, change of supplier)")
}

// A meter that a sweep leaves alone because its home leaves must be on the list, or the
// DCC must have said so. It is not left alone before its time, and nothing may be sent
// to it after.
func TestTruthOfHomesThatLeave(t *testing.T) {
	accepted := func(at time.Duration) func(*tale) {
		return func(t *tale) {
			t.Meter.Accepted = append(t.Meter.Accepted, history.Accepted{Counter: 90, SRV: srvSupply, At: history.Instant(at)})
		}
	}
	const day = 10 * time.Hour
	for _, test := range []struct {
		name string
		tale *tale
		want []Kind
	}{
		{"left alone by the list", leaver(day), nil},
		{"another day than the list's", leaver(day).called(record.VerdictExcluded, record.ReasonLeaves+" on 1970-01-02T10:00:00Z"), []Kind{WrongReason}},
		{"left alone too early", leaver(day).with(func(t *tale) { t.left-- }), []Kind{WronglyLeft}},
		{"left alone, and on no list", leaver(day).with(func(t *tale) { t.Listed = time.Time{} }), []Kind{WrongVerdict, WrongReason, WronglyLeft, WronglyOff}},
		{"left alone before the margin", leaver(day).with(func(t *tale) {
			t.Terms.Now = history.Instant(8 * time.Hour)
			t.left = t.Terms.Now
		}), []Kind{WrongVerdict, WronglyLeft, WronglyOff}},
		{"asked in time", leaver(day).with(accepted(9*time.Hour + 59*time.Second)), nil},
		{"asked too late", leaver(day).with(accepted(9*time.Hour + 2*time.Minute)), []Kind{WronglyLeft}},
		{"its proxy asked too late", leaver(day).with(func(t *tale) {
			t.Proxy.Accepted = []history.Accepted{{Counter: 91, SRV: srvMode, At: history.Instant(9*time.Hour + 2*time.Minute)}}
		}), []Kind{WronglyLeft}},
		{"by the DCC's alert", gone(newTale(), history.Instant(9*time.Hour)), nil},
		{"by an alert that never came", gone(newTale(), 0), []Kind{WrongVerdict, WrongReason, WronglyLeft, WronglyOff}},
		{"E4, and served again since", newTale().with(func(t *tale) {
			t.Meter.Replies = []history.Reply{{SRV: srvSupply, Code: servicerequests.NotRegistered}}
		}).called(record.VerdictExcluded, record.ReasonTransferred+" (E4)"), nil},
		{"off, and left alone in time", leftOff(unarmed(), "no read was fresh enough to arm on").with(func(t *tale) {
			t.Listed, t.Margin, t.Terms.Now, t.OnTheWay = time.Unix(0, int64(day)), time.Hour, history.Instant(20*time.Hour), time.Minute
			t.left = history.Instant(9 * time.Hour)
		}), []Kind{WrongReason}}, // nothing bears the reason out, but nobody had to help the meter any more
	} {
		t.Run(test.name, func(t *testing.T) {
			j := judge([]claim{test.tale.claim}, func(servicerequests.EUI) Facts { return test.tale.Facts }, test.tale.Terms)
			var got []Kind
			for _, m := range j.Wrong {
				got = append(got, m.Kind)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s%+v", diff, j.Wrong)
			}
		})
	}
}
