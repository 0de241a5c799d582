package testservers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates are the files of a certificate authority, and of the certificates that it signed for a server at 127.0.0.1 and
// localhost, and for a client with the common name "clacks"; all PEM.
type Certificates struct {
	CA         string // the authority's certificate
	Cert       string // the server's certificate
	Key        string // its private key
	ClientCert string // the client's certificate
	ClientKey  string // its private key
}

// MakeCertificates writes a fresh authority and the certificates that it signed into dir. They are valid for one day.
func MakeCertificates(dir string) (*Certificates, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	files := &Certificates{
		CA: in("ca.pem"), Cert: in("server.pem"), Key: in("server.key"), ClientCert: in("client.pem"), ClientKey: in("client.key"),
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := certificate("Test authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the authority: %w", err)
	}
	if err := writePEM(files.CA, "CERTIFICATE", caDER); err != nil {
		return nil, err
	}
	server := certificate("localhost")
	server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	server.KeyUsage, server.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := certificate("clacks")
	client.KeyUsage, client.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return files, errors.Join(sign(server, ca, caKey, files.Cert, files.Key), sign(client, ca, caKey, files.ClientCert, files.ClientKey))
}

// sign makes a key for a certificate, lets the authority sign it, and writes both.
func sign(subject, ca *x509.Certificate, caKey *ecdsa.PrivateKey, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, subject, ca, &key.PublicKey, caKey)
	if err != nil {
		return fmt.Errorf("sign the certificate of %s: %w", subject.Subject.CommonName, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key of %s: %w", subject.Subject.CommonName, err)
	}
	return errors.Join(writePEM(certFile, "CERTIFICATE", der), writePEM(keyFile, "PRIVATE KEY", keyDER))
}

func writePEM(path, kind string, der []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("write a certificate: %w", err)
	}
	return nil
}

// certificate is what the authority and the server certificate have in common.
func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}
