package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// clientTLS is the node's side of TLS with its clients: the certificate of the
// files in the configuration, read again when they change.
type clientTLS struct {
	files ListenTLS
	log   *slog.Logger

	mu      sync.Mutex
	looked  time.Time // at the files
	read    [3]fileStamp
	loaded  *tls.Config
	trouble string // why the files as they are now do not do; told once
}

// lookAgain is how old a look at the files may be.
const lookAgain = time.Second

// newClientTLS reads the files, so that wrong ones are told at the start; nil
// without any.
func newClientTLS(files ListenTLS, log *slog.Logger) (*clientTLS, error) {
	if !files.on() {
		return nil, nil
	}
	c := &clientTLS{files: files, log: log, looked: time.Now()}
	err := c.reload()
	if err != nil {
		return nil, fmt.Errorf("listen.tls: %w", err)
	}
	return c, nil
}

// over puts TLS on a listener; c may be nil.
func (c *clientTLS) over(l net.Listener) net.Listener {
	if c == nil || l == nil {
		return l
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.config(), nil },
	})
}

// config is asked for each handshake. Files that do not do leave what there
// was: half of a change is no reason to serve nobody.
func (c *clientTLS) config() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookAgain {
		c.looked = now
		c.tell(c.reload())
	}
	return c.loaded
}

func (c *clientTLS) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != c.trouble {
		c.log.Warn("the new TLS files for clients do not do; the old ones stay in use", "error", err)
	}
	c.trouble = text
}

// reload reads the files if they have changed.
func (c *clientTLS) reload() error {
	var stamps [3]fileStamp
	paths := []string{c.files.CertFile, c.files.KeyFile}
	if c.files.ClientCAFile != "" {
		paths = append(paths, c.files.ClientCAFile)
	}
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		stamps[i] = fileStamp{info.ModTime().UnixNano(), info.Size()}
	}
	if c.loaded != nil && stamps == c.read {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if c.files.ClientCAFile != "" {
		text, err := os.ReadFile(c.files.ClientCAFile)
		if err != nil {
			return err
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return errors.New("there is no certificate in " + c.files.ClientCAFile)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.SessionTicketsDisabled = true // a resumed session was checked against older authorities
	}
	if c.loaded != nil {
		c.log.Info("new TLS files for clients are in use", "cert_file", c.files.CertFile)
	}
	c.loaded, c.read = config, stamps
	return nil
}
