//go:build unix

package store

import (
	"net"
	"syscall"
)

// quiet reports whether an idle connection is open and has nothing to read. A server that ends a connection has sent its
// last words or the end of the stream by then; looking costs one system call and no round trip. It does not take the
// connection's turn to read: pgx leaves a reader in the background behind after a write that took long, which would have
// it for as long as the connection is idle.
func quiet(conn net.Conn) bool {
	if layered, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = layered.NetConn()
	}
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return false
	}
	isQuiet := false
	err = control.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		isQuiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	})
	return err == nil && isQuiet
}
