package dbmanager

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// TLSFiles are the paths of PEM files.
type TLSFiles struct {
	// Cert and Key are the server's certificate and key.
	Cert, Key string
	// ClientCA is who signs the certificates of the clients that are let in. Empty lets everyone in.
	ClientCA string
}

// Config reads the files, now and at every handshake, so that renewed certificates need no restart. When they cannot be
// read any longer, the last good ones serve on. Without any files it is nil: plain text.
func (f TLSFiles) Config() (*tls.Config, error) {
	if f == (TLSFiles{}) {
		return nil, nil
	}
	if f.Cert == "" || f.Key == "" {
		return nil, errors.New("TLS needs a certificate and a key")
	}
	first, err := f.load()
	if err != nil {
		return nil, err
	}
	var last atomic.Pointer[tls.Config]
	last.Store(first)
	served := first.Clone()
	served.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if now, err := f.load(); err == nil {
			last.Store(now)
		}
		return last.Load(), nil
	}
	return served, nil
}

func (f TLSFiles) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("read the TLS certificate: %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
	if f.ClientCA == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read the clients' certificate authority: %w", err)
	}
	cfg.ClientCAs, cfg.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !cfg.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the clients' certificate authority: %s has no certificate", f.ClientCA)
	}
	return cfg, nil
}
