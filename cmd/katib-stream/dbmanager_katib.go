package main

import (
	"path/filepath"
	"strings"
)

// katibsName is how Katib's own Deployment calls its db-manager.
const katibsName = "katib-db-manager"

// commandLine is what the program is told, given what it was called as and with. Called as Katib's db-manager it is ours,
// and takes flags as Go's package flag does: with one dash as well as with two.
func commandLine(args []string) []string {
	if len(args) == 0 || filepath.Base(args[0]) != katibsName {
		return args[min(1, len(args)):]
	}
	if len(args) == 2 && strings.TrimLeft(args[1], "-") == "version" {
		return []string{"version"}
	}
	line := []string{"db-manager"}
	for i, arg := range args[1:] {
		if arg == "--" {
			return append(line, args[1+i:]...)
		}
		if len(arg) > 2 && arg[0] == '-' && !strings.HasPrefix(arg, "--") {
			arg = "-" + arg
		}
		line = append(line, arg)
	}
	return line
}
