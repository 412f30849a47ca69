//go:build linux || darwin || freebsd || netbsd || openbsd

package config

import (
	"fmt"
	"syscall"
)

// mayWrite returns an error if this process may not make files in a directory.
func mayWrite(dir string) error {
	const write = 2 // W_OK
	if err := syscall.Access(dir, write); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}
