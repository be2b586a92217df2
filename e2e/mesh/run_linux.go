package mesh

import "syscall"

// childAttributes make the kernel end a program when the one that started it is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
