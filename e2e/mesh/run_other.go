//go:build !linux

package mesh

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
