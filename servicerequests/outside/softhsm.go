package outside

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Token is a PKCS#11 token of a test's own.
type Token struct {
	Module, Label, PIN string
	Conf               string // SoftHSM's configuration, for other processes as SOFTHSM2_CONF
}

// SoftHSM makes a token with SoftHSM 2 in a folder of the test's own, and sets SOFTHSM2_CONF.
// SoftHSM reads that when it is initialised: tests of one process do not run side by side.
func SoftHSM(t testing.TB) Token {
	t.Helper()
	token := SoftHSMOfOthers(t)
	t.Setenv("SOFTHSM2_CONF", token.Conf)
	return token
}

// SoftHSMOfOthers makes a token for other processes, which have its Conf as SOFTHSM2_CONF.
func SoftHSMOfOthers(t testing.TB) Token {
	t.Helper()
	token := Token{Label: "safemode", PIN: "2468"}
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			token.Module = path
		}
	}
	if _, err := exec.LookPath("softhsm2-util"); err != nil || token.Module == "" {
		t.Skip("no SoftHSM: install softhsm2")
	}
	folder := t.TempDir()
	token.Conf = filepath.Join(folder, "softhsm2.conf")
	conf := fmt.Appendf(nil, "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", folder)
	if err := errors.Join(os.Mkdir(filepath.Join(folder, "tokens"), 0o700), os.WriteFile(token.Conf, conf, 0o600)); err != nil {
		t.Fatal(err)
	}
	init := exec.CommandContext(t.Context(), "softhsm2-util", "--init-token", "--free", "--label", token.Label, "--pin", token.PIN, "--so-pin", "1357")
	init.Env = append(os.Environ(), "SOFTHSM2_CONF="+token.Conf)
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
	return token
}
