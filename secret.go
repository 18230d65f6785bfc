package main

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// clusterSecret is the one secret of a cluster; every other key is derived
// from it. It is made at birth and never changes. On disk it is 64 hexadecimal
// digits and a newline, readable by its owner alone: the file `secret` in
// the data directory, unless the configuration names another.
type clusterSecret [32]byte

// What is derived from the cluster secret, each for one use.
const (
	purposeKeyHash = "waggle key hash 1" // HMAC of access keys
	purposeCASeal  = "waggle ca seal 1"  // encryption of the certificate authority's key

	purposeEndpointSeal = "waggle endpoint seal 1" // encryption of the keys of tenants' embedding endpoints

	purposeCache = "waggle hub cache 1" // HMAC of access keys that another hub knows
)

// secretPath is where the cluster secret is.
func secretPath(c Config) string {
	if c.SecretFile != "" {
		return c.SecretFile
	}
	return filepath.Join(c.DataDir, "secret")
}

// openSecret reads the cluster secret. A node that is not born yet gets a new
// one, but only in the data directory: a file that the configuration names
// and that is not there is a mistake, or a mount that failed.
func openSecret(c Config, born bool) (clusterSecret, error) {
	path := secretPath(c)
	s, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if c.SecretFile != "" {
		return s, fmt.Errorf("secret_file %s does not exist; make one with: (umask 077; openssl rand -hex 32 > %s)", path, path)
	}
	if born {
		return s, fmt.Errorf("the cluster secret %s is gone; without it no access key can be recognised: restore the file", path)
	}
	rand.Read(s[:])
	if err := writeSecret(path, s); err != nil {
		return s, fmt.Errorf("write the cluster secret: %w", err)
	}
	return s, nil
}

func readSecret(path string) (clusterSecret, error) {
	var s clusterSecret
	info, err := os.Stat(path)
	if err != nil {
		return s, fmt.Errorf("read the cluster secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return s, fmt.Errorf("the cluster secret %s can be read by others (mode %#o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("read the cluster secret: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(s) {
		return s, fmt.Errorf("the cluster secret %s must be %d hexadecimal digits", path, 2*len(s))
	}
	copy(s[:], raw)
	return s, nil
}

// writeSecret leaves either the whole secret or nothing at path, and returns
// when a power cut cannot take it away any more: keys hashed under a lost
// secret would be lost with it.
func writeSecret(path string, s clusterSecret) error {
	return replaceSynced(path, hex.EncodeToString(s[:])+"\n")
}

// replaceSynced leaves either what was at path or the whole text, durably.
func replaceSynced(path, text string) error {
	tmp := path + ".tmp"
	if err := writeSynced(tmp, text); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// derive returns the 32-byte key for one purpose.
func (s clusterSecret) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, s[:], nil, purpose, sha256.Size)
	if err != nil {
		panic(fmt.Sprintf("BUG: derive %q: %v", purpose, err)) // only for too long a key
	}
	return key
}

// String keeps the secret out of logs and error texts.
func (s clusterSecret) String() string { return "clusterSecret(redacted)" }
