// Command peers signs and verifies one DUIS document in a loop, and prints the CPU
// time of each in microseconds. It is this module's part of peers.sh, which does the
// same with xmlsec1 and with DCC's own tool.
package main

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// oneKey is a set of keys with one member.
type oneKey struct{ *ecdsa.PublicKey }

func (k oneKey) Key(xmldsig.KeyRef) (*ecdsa.PublicKey, error) { return k.PublicKey, nil }

func run(args []string) error {
	if len(args) != 5 {
		return errors.New("want REQUEST.xml SIGNED.xml CERT.pem KEY.pem TIMES")
	}
	var files [4][]byte
	for i := range files {
		var err error
		if files[i], err = os.ReadFile(args[i]); err != nil {
			return err
		}
	}
	times, err := strconv.Atoi(args[4])
	if err != nil || times < 1 {
		return fmt.Errorf("TIMES %q: want 1 or more", args[4])
	}
	certificate, err := smki.ParseCertificatePEM(files[2])
	if err != nil {
		return err
	}
	key, err := smki.ParsePrivateKeyPEM(files[3])
	if err != nil {
		return err
	}
	signer := xmldsig.Signer{Key: key, Issuer: certificate.Issuer, Serial: certificate.SerialText()}
	sign, err := perOperation(times, func() error { _, err := signer.Sign(files[0]); return err })
	if err != nil {
		return err
	}
	verify, err := perOperation(times, func() error {
		_, err := xmldsig.Verify(files[1], oneKey{certificate.PublicKey})
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("%.1f %.1f\n", sign, verify)
	return nil
}

// perOperation is the process's CPU time of one call, in microseconds, after a tenth
// as many to warm up.
func perOperation(times int, f func() error) (float64, error) {
	var begin time.Duration
	for i := -times / 10; i < times; i++ {
		if i == 0 {
			begin = cpu()
		}
		if err := f(); err != nil {
			return 0, err
		}
	}
	return float64(cpu()-begin) / float64(time.Microsecond) / float64(times), nil
}

func cpu() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // a clock that every Linux has
	return time.Duration(t.Nano())
}
