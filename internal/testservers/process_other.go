//go:build !linux

package testservers

import "syscall"

// dieWithParent does nothing: only Linux can tie a child to its parent's life. A test that is killed leaves its servers
// behind here.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
