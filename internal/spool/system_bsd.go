//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package spool

import "os"

const populate = 0

func allocate(file *os.File, size int) error { return fill(file, size) }
