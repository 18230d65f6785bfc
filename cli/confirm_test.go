package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// terminal is one as the kernel makes it: what is typed comes out of the second.
func terminal(t *testing.T) (typing, screen *os.File) {
	t.Helper()
	typing, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { typing.Close() })
	if err := unix.IoctlSetPointerInt(int(typing.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(typing.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return typing, screen
}

// On a terminal a deletion asks first, and only yes is yes.
func TestDeletionAsks(t *testing.T) {
	sent := hubAPI(t)
	for answer, deleted := range map[string]bool{"y\n": true, " YES \n": true, "n\n": false, "\n": false, "yeah\n": false} {
		typing, screen := terminal(t)
		if _, err := io.WriteString(typing, answer); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		root := NewRoot(&cobra.Command{Use: "serve"})
		root.SetArgs([]string{"plans", "delete", "x"})
		root.SetIn(screen)
		root.SetOut(&out)
		root.SetErr(&errs)
		code := Run(context.Background(), root)
		if (code == 0) != deleted || (len(sent()) == 1) != deleted || !strings.HasPrefix(errs.String(), "This will delete plan x. There is no way back. Go on? [y/N] ") {
			t.Errorf("%q: exit %d, %q, %q", answer, code, &out, &errs)
		}
		if !deleted && !strings.HasSuffix(errs.String(), "waggle: nothing was done\n") {
			t.Errorf("%q: %q", answer, &errs)
		}
	}
}
