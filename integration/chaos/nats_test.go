package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// node is a NATS server in a process of its own.
type node struct {
	*service
	port  int
	store string
}

func (n *node) address() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

// No server tells clients of the others, so that they stay behind the proxies.
var natsConfig = template.Must(template.New("nats").Parse(`server_name: {{.Name}}
host: 127.0.0.1
port: {{.Port}}
jetstream { store_dir: {{printf "%q" .Store}} }
{{if .Routes}}cluster { name: chaos, host: 127.0.0.1, port: {{.Cluster}}, no_advertise: true, routes: [{{.Routes}}] }{{end}}
`))

// startNATS starts one server, or a cluster of three.
func startNATS(t testing.TB, root string, count int) []*node {
	t.Helper()
	var routes []string
	ports, clusters := make([]int, count), make([]int, count)
	for i := range count {
		ports[i], clusters[i] = testserver.FreePort(t), testserver.FreePort(t)
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", clusters[i]))
	}
	if count == 1 {
		routes = nil
	}
	var nodes []*node
	for i := range count {
		n := &node{port: ports[i]}
		name := fmt.Sprintf("nats-%d", i)
		dir := filepath.Join(root, name)
		n.store = filepath.Join(dir, "store")
		if err := os.MkdirAll(n.store, 0o700); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		values := map[string]any{"Name": name, "Port": n.port, "Store": n.store, "Cluster": clusters[i], "Routes": strings.Join(routes, ",")}
		if err := natsConfig.Execute(&text, values); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "nats.conf")
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if n.service, err = newService(root, name, []string{os.Args[0]}, envNATS+"="+file); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	return nodes
}
