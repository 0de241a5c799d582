//go:build unix

package store

import (
	"context"
	"net"
	"runtime"
	"testing"
)

// TestQuietBesideReader looks at a connection while somebody waits for its next byte, as pgx does in the background.
func TestQuietBesideReader(t *testing.T) {
	client, server := tcpPair(t)
	reading := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var b [1]byte
		if _, err := client.Read(b[:]); err != nil {
			t.Error(err)
		}
		close(reading)
		if _, err := client.Read(b[:]); err == nil {
			t.Error("read a byte that nobody sent")
		}
	}()
	if _, err := server.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	<-reading
	for range 1000 {
		if !quiet(client) {
			t.Fatal("an idle connection is not quiet")
		}
		runtime.Gosched() // somewhere on the way the reader blocks
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if quiet(client) {
		t.Error("a connection that the other side has closed is quiet")
	}
}

func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if client, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}
