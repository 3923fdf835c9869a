package listen

import "testing"

func TestPeer(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:80":                 "192.0.2.7",
		"[::ffff:192.0.2.7]:80":        "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:80":    "2001:db8:1:2::",
		"[fe80::1%eth0]:80":            "fe80::",
		"@":                            "invalid IP",
		"pipe":                         "invalid IP",
		"[2001:db8:1:2:ffff::]:123456": "invalid IP",
	} {
		if got := PeerOf(remote).String(); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}
