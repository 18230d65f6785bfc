package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/hivehub/waggle/tenant"
)

// firstKeysFile is where the first keys are when nobody looks at a terminal.
const firstKeysFile = "first-keys"

// firstKeys are the keys that a cluster is born with. Those that the
// environment does not give are made, and shown once: on a terminal, else in
// a file in the data directory that only the owner can read.
type firstKeys struct {
	operator, tenant string
	elsewhere        bool   // no tenant's key is good here
	show             bool   // made here, on a terminal
	file             string // made here, elsewhere; "" = none
}

// checkBootstrapKeys refuses keys in the environment that no edge would accept,
// before anything is written for them.
func checkBootstrapKeys(env func(string) string) error {
	names := []string{"WAGGLE_BOOTSTRAP_OPERATOR_KEY", "WAGGLE_BOOTSTRAP_TENANT_KEY"}
	for _, name := range names {
		key := env(name)
		if key == "" {
			continue
		}
		form, err := tenant.ParseKey(key)
		if err != nil {
			return fmt.Errorf("%s: %w; it must be hh_live_ or hh_test_ and 32 to 120 of A-Z, a-z, 0-9 and _", name, err)
		}
		if form.Kind != tenant.KeyTenant {
			return fmt.Errorf("%s: must begin with hh_live_ or hh_test_", name)
		}
	}
	if key := env(names[0]); key != "" && key == env(names[1]) {
		return fmt.Errorf("%s and %s are equal; a key is either the operator's or a tenant's", names[0], names[1])
	}
	return nil
}

// newFirstKeys makes what the environment leaves open. A file is written
// before the birth, so that no crash can lose the keys of a cluster. Where the
// tenants are a hub's elsewhere, the tenant's key is good for nothing, and not
// shown.
func newFirstKeys(dir string, env func(string) string, elsewhere bool) (*firstKeys, error) {
	k := &firstKeys{operator: env("WAGGLE_BOOTSTRAP_OPERATOR_KEY"), tenant: env("WAGGLE_BOOTSTRAP_TENANT_KEY"), elsewhere: elsewhere}
	made := ""
	if k.operator == "" {
		k.operator = tenant.NewKey()
		made += "operator " + k.operator + "\n"
	}
	if k.tenant == "" {
		k.tenant = tenant.NewKey()
		if !elsewhere {
			made += "tenant   " + k.tenant + "\n"
		}
	}
	file := filepath.Join(dir, firstKeysFile)
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) { // of a birth that failed
		return nil, fmt.Errorf("write the first keys: %w", err)
	}
	switch {
	case made == "":
	case term.IsTerminal(int(os.Stderr.Fd())):
		k.show = true
	default:
		k.file = file
		if err := writeSynced(k.file, made); err != nil {
			return nil, fmt.Errorf("write the first keys: %w", err)
		}
	}
	return k, nil
}

// tell says where the keys are. The keys themselves go to a terminal only.
func (k *firstKeys) tell(log *slog.Logger) {
	if k.show {
		fmt.Fprintf(os.Stderr, "\nThe first keys. They are shown only now:\n\n  operator  %s\n", k.operator)
		if !k.elsewhere {
			fmt.Fprintf(os.Stderr, "  tenant    %s\n", k.tenant)
		}
		fmt.Fprintln(os.Stderr)
	}
	if k.file != "" {
		log.Info("the first keys are in a file; take them out and delete it", "file", k.file)
	}
}
