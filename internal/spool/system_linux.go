package spool

import (
	"errors"
	"os"
	"syscall"
)

// populate has the pages of a new file ready when it is mapped, rather than each when an event first touches it.
const populate = syscall.MAP_POPULATE

// allocate gives a file its blocks.
func allocate(file *os.File, size int) error {
	for {
		err := syscall.Fallocate(int(file.Fd()), 0, 0, int64(size))
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return fill(file, size)
		default:
			return err
		}
	}
}
