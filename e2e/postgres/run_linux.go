package postgres

import "syscall"

// childAttributes make the kernel end PostgreSQL when the program that started it
// is killed and can no longer do so.
func childAttributes() *syscall.SysProcAttr {
	a := attributes()
	a.Pdeathsig = syscall.SIGQUIT
	return a
}
