//go:build !wasip1

package filter

func closeStream() bool { return false }
