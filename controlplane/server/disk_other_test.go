//go:build !linux

package server_test

import "testing"

// smallDisk needs Linux, as the test that fills it does.
func smallDisk(t *testing.T) *disk {
	t.Helper()
	t.Skip("a disk is made full on Linux only")
	return nil
}

func (*disk) fill(*testing.T) {}
func (*disk) free(*testing.T) {}
