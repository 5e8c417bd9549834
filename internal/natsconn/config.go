// Package natsconn connects to NATS: it finds out where and as whom, from flags, the environment and the contexts that
// the nats CLI saved, and keeps passwords out of every line it writes. Producers' and consumers' messages travel over the
// connections that it makes.
package natsconn

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"
	"github.com/synadia-io/orbit.go/natscontext"
)

// Config says where NATS is and who connects. The zero value is the context that the nats CLI has selected, or
// nats://127.0.0.1:4222 when there is none.
type Config struct {
	// Servers is a comma-separated list of URLs. Beside a Context it replaces the context's servers.
	Servers string
	// Context is the name, or the absolute path, of a context saved by the nats CLI. Empty means the selected one, but
	// only when there are no Servers either.
	Context string
	// Creds is the path of a credentials file.
	Creds string
	// User and Password, or Token, are what the server may ask for instead.
	User, Password, Token string
	// TLSCA, TLSCert and TLSKey are paths of PEM files.
	TLSCA, TLSCert, TLSKey string
	// InboxPrefix replaces "_INBOX", so that neighbours without rights on it cannot read acknowledgements.
	InboxPrefix string
	// Name is how the connection calls itself in the server's monitoring.
	Name string
	// InProcess is a server in this process to be used, without the network, instead of everything above but Name and
	// Servers, which is then only what the log calls it.
	InProcess nats.InProcessConnProvider

	only string // the one of the servers that is tried
}

// ConfigError says that a Config cannot be used, whatever becomes of NATS.
type ConfigError struct{ error }

// Unwrap gives the reason.
func (e *ConfigError) Unwrap() error { return e.error }

// AddFlags defines the flags that fill c, the two that say where NATS is first.
func (c *Config) AddFlags(flags *pflag.FlagSet) {
	flags.StringVarP(&c.Servers, "server", "s", c.Servers, "`URLs` of the NATS servers, separated by commas (default: the nats CLI's selected context, or "+nats.DefaultURL+")")
	flags.StringVar(&c.Context, "context", c.Context, "`name` of a context saved by the nats CLI")
	flags.StringVar(&c.Creds, "creds", c.Creds, "NATS credentials `file`")
	flags.StringVar(&c.User, "user", c.User, "NATS `user`")
	flags.StringVar(&c.Password, "password", c.Password, "NATS `password`; other users of this machine can read flags, so better in the environment")
	flags.StringVar(&c.Token, "token", c.Token, "NATS `token`; better in the environment, too")
	flags.StringVar(&c.TLSCA, "tls-ca", c.TLSCA, "`file` with the certificate authority of the NATS servers")
	flags.StringVar(&c.TLSCert, "tls-cert", c.TLSCert, "`file` with this client's TLS certificate")
	flags.StringVar(&c.TLSKey, "tls-key", c.TLSKey, "`file` with this client's TLS key")
	flags.StringVar(&c.InboxPrefix, "inbox-prefix", c.InboxPrefix, "`prefix` of the subjects that answers come to (default _INBOX)")
}

// options are those of the context, if there is one, with what c says itself written over them. Every error is a
// *ConfigError.
func (c Config) options() (nats.Options, error) {
	options, err := c.base(nats.GetDefaultOptions())
	if err == nil && c.Servers != "" {
		options.Servers, err = split(c.Servers)
	}
	if err == nil {
		options, err = apply(options, c.overrides()...)
	}
	if err != nil {
		return options, &ConfigError{err}
	}
	if len(options.Servers) == 0 {
		options.Servers = []string{nats.DefaultURL}
	}
	if c.only != "" {
		options.Servers = []string{c.only}
	}
	return options, nil
}

func (c Config) overrides() []nats.Option {
	if c.InProcess != nil {
		return []nats.Option{nats.Name(c.Name), nats.InProcessServer(c.InProcess)}
	}
	options := []nats.Option{nats.Name(c.Name)}
	if c.Creds != "" {
		options = append(options, nats.UserCredentials(c.Creds))
	}
	if c.User != "" || c.Password != "" {
		options = append(options, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		options = append(options, nats.Token(c.Token))
	}
	if c.TLSCA != "" {
		options = append(options, nats.RootCAs(c.TLSCA))
	}
	if c.TLSCert != "" || c.TLSKey != "" {
		options = append(options, nats.ClientCert(c.TLSCert, c.TLSKey))
	}
	if c.InboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	return options
}

func apply(options nats.Options, change ...nats.Option) (nats.Options, error) {
	for _, option := range change {
		if err := option(&options); err != nil {
			return options, fmt.Errorf("set up the connection to NATS: %w", err)
		}
	}
	return options, nil
}

// base is what the nats CLI's context gives.
func (c Config) base(defaults nats.Options) (nats.Options, error) {
	switch {
	case c.InProcess != nil:
		return defaults, nil
	case c.Context != "":
		return readContext(c.Context)
	case c.Servers != "" || !hasHome():
		return defaults, nil
	}
	options, err := readContext("")
	if err != nil {
		return options, fmt.Errorf("%w (it is the selected one: choose another with `nats context select`, or give --server)", err)
	}
	return options, nil
}

// hasHome says whether there is a place where contexts could be; in a small container there may be none.
func hasHome() bool {
	if os.Getenv("XDG_CONFIG_HOME") != "" {
		return true
	}
	u, err := user.Current()
	return err == nil && u.HomeDir != ""
}

var errStop = errors.New("stop before connecting")

// readContext reads a saved context, "" for the selected one; without a selection it gives the defaults, with no server.
// natscontext only knows how to connect, so its last option takes a copy of what it read and stops it.
func readContext(name string) (nats.Options, error) {
	var read nats.Options
	_, _, err := natscontext.Connect(name, func(options *nats.Options) error {
		read = *options
		return errStop
	})
	if !errors.Is(err, errStop) {
		return read, fmt.Errorf("read the nats CLI's context %q: %w", name, err)
	}
	if read.Servers, err = split(strings.Join(read.Servers, ",")); err != nil {
		return read, fmt.Errorf("read the nats CLI's context %q: %w", name, err)
	}
	return read, nil
}

// split takes a list of URLs apart. Its errors never repeat what may hold a password.
func split(list string) ([]string, error) {
	var servers []string
	for server := range strings.SplitSeq(list, ",") {
		server = strings.TrimSpace(server)
		if server == "" {
			continue
		}
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return nil, fmt.Errorf("server %s is no NATS URL like nats://host:4222", Redact(server))
		}
		servers = append(servers, server)
	}
	return servers, nil
}
