package dbmanager

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/katib-stream/katib-stream/katibdb"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	client := grpc_health_v1.NewHealthClient(w.conn)
	check := func(service string, options ...grpc.CallOption) (string, error) {
		reply, err := client.Check(w.within(patience), &grpc_health_v1.HealthCheckRequest{Service: service}, options...)
		return reply.GetStatus().String(), err
	}
	w.nats.Stop()
	for _, service := range []string{"", "grpc.health.v1.Health", "api.v1.beta1.DBManager"} {
		if status, err := check(service); err != nil || status != "SERVING" {
			t.Errorf("%q: %v, %v", service, status, err)
		}
	}
	_, err := check("other")
	w.wantCode(err, codes.NotFound)
	w.must(w.db.Close())
	var trailer metadata.MD
	status, err := check("", grpc.Trailer(&trailer))
	if said := trailer.Get(TrailerError); err != nil || status != "NOT_SERVING" || len(said) != 1 || !strings.Contains(said[0], "Failed to execute `SELECT 1` probe") {
		t.Errorf("%v, %v, trailer %v", status, err, trailer)
	}
}

func TestReflection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	stream, err := grpc_reflection_v1.NewServerReflectionClient(w.conn).ServerReflectionInfo(w.within(patience))
	w.must(err)
	w.must(stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}))
	reply, err := stream.Recv()
	w.must(err)
	for _, service := range []string{"api.v1.beta1.DBManager", "grpc.health.v1.Health"} {
		if !strings.Contains(reply.String(), service) {
			t.Errorf("%v does not list %s", reply, service)
		}
	}
	w.must(stream.CloseSend())
	_, _ = stream.Recv() // the end
}

// panicking is a database with a mistake in it.
type panicking struct{ Database }

func (panicking) DeleteTrial(context.Context, string, func(context.Context) (string, uint64, time.Time, error)) error {
	panic("a mistake")
}

func (panicking) Log(context.Context, katibdb.LogQuery, func(katibdb.Row) error) error {
	panic("a mistake")
}

func TestPanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	var log bytes.Buffer
	w.server.db, w.server.log = panicking{}, slog.New(slog.NewTextHandler(&log, nil))
	_, err := w.get(w.within(patience))
	w.wantCode(err, codes.Internal)
	if strings.Contains(err.Error(), "mistake") || strings.Contains(err.Error(), ".go") {
		t.Errorf("the caller is told %v", err)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "a mistake") {
		t.Errorf("the log has %d lines: %s", lines, &log)
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{StopTimeout: 100 * time.Millisecond})
	reported := make(chan error)
	go func() { reported <- w.report(w.within(time.Minute), entry(noon, "loss", "1")) }() // nobody consumes
	w.eventually("it is stored", func() bool { return len(w.held()) == 1 })
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}
	if err := <-reported; err == nil {
		t.Error("the report succeeds")
	}
}

func TestStopAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	server, err := New(w.js, w.db, w.server.barrier, Config{})
	w.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.must(server.Run(ctx, w.listen()))
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	w := newWorld(t, Config{ReportAccepted: true, Registerer: registry})
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	families, err := registry.Gather()
	w.must(err)
	found := map[string]string{}
	for _, family := range families {
		found[family.GetName()] = family.String()
	}
	for name, has := range map[string]string{
		"katib_stream_dbmanager_call_seconds":           "ReportObservationLog",
		"katib_stream_dbmanager_reported_entries_total": "value:1",
		"katib_stream_dbmanager_producers":              "value:1",
		"katib_stream_dbmanager_thinned_reads_total":    "value:0",
	} {
		if !strings.Contains(found[name], has) {
			t.Errorf("%s is %q", name, found[name])
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{ReadWait: -1}, {ReadMax: 1}, {StopTimeout: -1}} {
		if _, err := New(nil, nil, nil, cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.file, _ = a.sign("ca")
	return a
}

// sign writes a certificate and its key into files.
func (a *authority) sign(name string) (certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: a.cert == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == nil {
		a.key = key
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func (a *authority) client(certificates ...tls.Certificate) credentials.TransportCredentials {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: certificates, MinVersion: tls.VersionTLS12})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.sign("server")
	clientCert, clientKey := a.sign("client")
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		files TLSFiles
		creds credentials.TransportCredentials
		works bool
	}{
		"TLS":                      {TLSFiles{Cert: cert, Key: key}, a.client(), true},
		"plain text":               {TLSFiles{Cert: cert, Key: key}, insecure.NewCredentials(), false},
		"mTLS":                     {TLSFiles{Cert: cert, Key: key, ClientCA: a.file}, a.client(pair), true},
		"mTLS without certificate": {TLSFiles{Cert: cert, Key: key, ClientCA: a.file}, a.client(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := tt.files.Config()
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, Config{TLS: cfg})
			conn := w.dial(w.conn.Target(), tt.creds)
			_, err = grpc_health_v1.NewHealthClient(conn).Check(w.within(patience), &grpc_health_v1.HealthCheckRequest{})
			if (err == nil) != tt.works {
				t.Errorf("it says %v", err)
			}
		})
	}
}

func TestTLSFiles(t *testing.T) {
	t.Parallel()
	if cfg, err := (TLSFiles{}).Config(); cfg != nil || err != nil {
		t.Errorf("without files: %v, %v", cfg, err)
	}
	a := newAuthority(t)
	cert, key := a.sign("server")
	for _, files := range []TLSFiles{{Cert: cert}, {ClientCA: a.file}, {Cert: cert, Key: a.file}, {Cert: cert, Key: key, ClientCA: key}} {
		if cfg, err := files.Config(); err == nil {
			t.Errorf("%v give %v", files, cfg)
		}
	}
	files := TLSFiles{Cert: cert, Key: key}
	cfg, err := files.Config()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if still, err := cfg.GetConfigForClient(nil); err != nil || len(still.Certificates) != 1 {
		t.Errorf("the last good certificate is not used: %v, %v", still, err)
	}
}
