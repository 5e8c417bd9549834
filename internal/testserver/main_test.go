package testserver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// envVictim makes the test binary start a server and wait to be killed.
const envVictim = "KATIB_STREAM_TEST_VICTIM"

func TestMain(m *testing.M) {
	if name := os.Getenv(envVictim); name != "" {
		if err := beVictim(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(Run(m))
}

// beVictim prints where its server listens and where its files are, and waits.
func beVictim(name string) error {
	opened, err := shared.open()
	if err != nil {
		return err
	}
	server, err := opened.start(context.Background(), name, nil)
	if err != nil {
		return err
	}
	fmt.Println(server.instance.address(), homeOf(opened).dir)
	_, err = bufio.NewReader(os.Stdin).ReadByte()
	return err
}

func homeOf(p provider) *home {
	if private, ok := p.(*privateProvider); ok {
		return private.home
	}
	return p.(*containerProvider).home
}

// TestKilledProcess kills a process that has servers. They die with it; what is left of them goes when the next process
// opens its provider.
func TestKilledProcess(t *testing.T) {
	for _, database := range Databases(t) {
		if database.Name == "sqlite" {
			continue
		}
		t.Run(database.Name, func(t *testing.T) { // one after the other: each cleans up after all
			addr, dir := killVictim(t, database.Name)
			if Provider(t) == "private" && runtime.GOOS == "linux" {
				eventually(t, "the server is gone", func() bool { return !listens(addr) })
			}
			next, err := chooseProvider(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := next.close(); err != nil {
				t.Error(err)
			}
			if Provider(t) == "testcontainers" && listens(addr) {
				t.Error("the container is still there")
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the servers' folder is still there: %v", err)
			}
		})
	}
}

func killVictim(t *testing.T, name string) (addr, dir string) {
	t.Helper()
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env = append(os.Environ(), envVictim+"="+name)
	victim.Stderr = t.Output()
	stdin, err := victim.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(stdout).ReadString('\n')
	addr, dir, _ = strings.Cut(strings.TrimSpace(line), " ")
	alive := readErr == nil && listens(addr)
	_ = victim.Process.Kill()
	_ = victim.Wait()
	if !alive {
		t.Fatalf("the victim's server at %q does not listen: %v", addr, readErr)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the victim left nothing, so this proves nothing: %v", err)
	}
	return addr, dir
}

func listens(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

const patience = 30 * time.Second

// eventually polls until done is true, and fails the test when that takes longer than patience.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
