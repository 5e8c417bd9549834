package testserver

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func childAttributes(account *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: account, Pdeathsig: syscall.SIGKILL}
}

// children lists the processes that a process has started and that have not ended.
func children(pid int) []int {
	// The one file holds the children of every thread when each thread's is read; servers fork from their first.
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
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
