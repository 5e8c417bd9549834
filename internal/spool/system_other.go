//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package spool

import "os"

const supported = false

func lock(*os.File) error                   { return ErrUnsupported }
func isHeld(string) (bool, error)           { return false, ErrUnsupported }
func openAgain(string) (*os.File, error)    { return nil, ErrUnsupported }
func mapFile(*os.File, int) ([]byte, error) { return nil, ErrUnsupported }
func unmap([]byte) error                    { return ErrUnsupported }
func ours(os.FileInfo) bool                 { return false }
func allocate(*os.File, int) error          { return ErrUnsupported }
