package testservers

import "syscall"

// dieWithParent asks the kernel to send the child a signal when this process dies.
func dieWithParent(attributes *syscall.SysProcAttr, sig syscall.Signal) { attributes.Pdeathsig = sig }
