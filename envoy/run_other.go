//go:build !linux

package envoy

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
