package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

// TestCommandsPage holds docs/commands.md to what --help says; `make docs` writes it.
func TestCommandsPage(t *testing.T) {
	const path = "../../docs/commands.md"
	want := commandsPage(newRootCommand(&app{}))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the commands say of themselves; write it with: make docs", path)
	}
}

func commandsPage(root *cobra.Command) string {
	var page strings.Builder
	fmt.Fprintf(&page, "# Commands\n\n%s\n\nThis page is what `--help` says; `make docs` writes it.\n", root.Long)
	fmt.Fprintf(&page, "\n## Flags of every command\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	for _, command := range root.Commands() {
		if !command.IsAvailableCommand() || command.Name() == "help" || command.Name() == "completion" {
			continue
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n```\n%s\n```\n", command.UseLine(), command.Long, command.Example)
		fmt.Fprintf(&page, "\n```\n%s```\n", command.LocalNonPersistentFlags().FlagUsages())
	}
	page.WriteString("\n## completion\n\n`katib-stream completion bash`, `fish`, `powershell` or `zsh` writes a script that completes commands and flags;\n`katib-stream completion bash --help` says where to put it.\n")
	return page.String()
}
