//go:build !linux

package meshtest

import "errors"

func enter() (int, error) { return 0, errors.New("it is not Linux") }

func settle() error { return errors.New("it is not Linux") }
