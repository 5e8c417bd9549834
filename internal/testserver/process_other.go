//go:build !linux

package testserver

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes cannot tie the child to this process here: a server outlives tests that are killed.
func childAttributes(account *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: account}
}

// children lists the processes that a process has started and that have not ended.
func children(pid int) []int {
	text, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if err != nil {
		return nil
	}
	var found []int
	for field := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			found = append(found, child)
		}
	}
	return found
}

// stopped cannot tell; a test of a paused server may meet one that answers once more.
func stopped(int) bool { return true }
