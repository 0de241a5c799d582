package listener_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"clacks/bus/listener"
)

// certificates are those of a server for 127.0.0.1 and of the client carol, of one authority: as files, and for Go.
type certificates struct {
	ca, cert, key string // the authority's, carol's
	pool          *x509.CertPool
	own, carol    tls.Certificate
}

func makeCertificates(t testing.TB) *certificates {
	t.Helper()
	dir := t.TempDir()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(template *x509.Certificate, name string) tls.Certificate {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, template, authority, &own.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(own)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".pem"), "CERTIFICATE", der)
		write(t, filepath.Join(dir, name+".key"), "PRIVATE KEY", keyDER)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c := &certificates{ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "carol.pem"), key: filepath.Join(dir, "carol.key")}
	write(t, c.ca, "CERTIFICATE", der)
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c.pool = x509.NewCertPool()
	c.pool.AddCert(parsed)
	end := *authority
	end.IsCA, end.BasicConstraintsValid, end.KeyUsage = false, false, x509.KeyUsageDigitalSignature
	end.SerialNumber, end.Subject.CommonName = big.NewInt(2), "localhost"
	end.DNSNames, end.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	end.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	c.own = sign(&end, "server")
	end.SerialNumber, end.Subject.CommonName = big.NewInt(3), "carol"
	c.carol = sign(&end, "carol")
	return c
}

func write(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// server makes a listener one of TLS that takes client certificates.
func (c *certificates) server(o *listener.Options) {
	o.TLS = &tls.Config{Certificates: []tls.Certificate{c.own}, ClientCAs: c.pool, ClientAuth: tls.VerifyClientCertIfGiven}
}

func TestTLS(t *testing.T) {
	c := makeCertificates(t)
	s := serve(t, c.server)
	ctx := within(t)
	dial := func(sasl amqp.SASLType, mine ...tls.Certificate) (*amqp.Conn, error) {
		return amqp.Dial(ctx, "amqps://"+s.address, &amqp.ConnOptions{
			SASLType: sasl, TLSConfig: &tls.Config{RootCAs: c.pool, Certificates: mine},
		})
	}
	for name, sasl := range map[string]amqp.SASLType{"carol": amqp.SASLTypeExternal(""), "ann": amqp.SASLTypePlain("ann", "nna")} {
		conn, err := dial(sasl, c.carol)
		if err != nil {
			t.Fatal(name, err)
		}
		sender, err := session(t, conn).NewSender(ctx, "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		m := &amqp.Message{Properties: &amqp.MessageProperties{UserID: []byte(name)}, Data: [][]byte{nil}}
		if err := sender.Send(ctx, m, nil); err != nil {
			t.Errorf("%s is somebody else: %v", name, err)
		}
		if open := s.Connections(); len(open) != 1 || open[0].User != name || !open[0].Secure {
			t.Errorf("%+v", open)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		eventually(t, "it is gone", func() bool { return len(s.Connections()) == 0 })
	}
	if _, err := dial(amqp.SASLTypeExternal("")); err == nil {
		t.Error("EXTERNAL without a certificate was taken")
	}
	if _, err := dial(amqp.SASLTypeExternal("ann"), c.carol); err == nil {
		t.Error("carol may be ann")
	}
	if _, err := amqp.Dial(ctx, "amqp://"+s.address, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("ann", "nna")}); err == nil {
		t.Error("a plain connection to the socket of TLS was taken")
	}
}
