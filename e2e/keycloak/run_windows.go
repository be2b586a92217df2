package keycloak

import "syscall"

// Windows cannot freeze a process by a signal: Freeze is an error there.
const (
	freezeSignal = syscall.Signal(-1)
	thawSignal   = syscall.Signal(-1)
)

func childAttributes() *syscall.SysProcAttr { return nil }
