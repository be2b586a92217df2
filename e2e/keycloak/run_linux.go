package keycloak

import "syscall"

// childAttributes make the kernel end Keycloak when the program that started it
// is killed and can no longer do so.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
