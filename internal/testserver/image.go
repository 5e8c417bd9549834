package testserver

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// An image may take pullTimeout to come from its registry, and the registry registryTimeout to answer.
const (
	pullTimeout     = 3 * time.Minute
	registryTimeout = 15 * time.Second
)

// image is a kind of server as the official images of it run. The local ones of tools/docker-images.sh do the same.
type image struct {
	kind      string
	standard  string // the official image
	port      string
	env       map[string]string
	files     map[string]string // path and text
	arguments []string
	dialect   dialect
}

var databaseImages = []image{
	{
		kind: "mariadb", standard: "mariadb:11.4", port: "3306/tcp", dialect: mysqlDialect,
		env:       map[string]string{"MARIADB_ROOT_PASSWORD": account},
		files:     map[string]string{"/docker-entrypoint-initdb.d/account.sql": accountSQL},
		arguments: []string{"--skip-name-resolve", "--max-connections=500"},
	},
	{
		kind: "mysql", standard: "mysql:8.4", port: "3306/tcp", dialect: mysqlDialect,
		env:       map[string]string{"MYSQL_ROOT_PASSWORD": account},
		files:     map[string]string{"/docker-entrypoint-initdb.d/account.sql": accountSQL},
		arguments: []string{"--skip-name-resolve", "--max-connections=500"},
	},
	{
		kind: "postgres", standard: "postgres:17", port: "5432/tcp", dialect: postgresDialect,
		env:       map[string]string{"POSTGRES_USER": account, "POSTGRES_PASSWORD": account},
		arguments: []string{"-c", "max_connections=300"},
	},
}

var natsImage = image{
	kind: "nats", standard: "nats:2.15", port: "4222/tcp",
	arguments: []string{"--jetstream"},
}

// name is the image to take: the official one, or the one that KATIB_STREAM_TEST_IMAGE_KIND names. When that is set to
// nothing, the kind is left out.
func (i image) name() string {
	if name, set := os.LookupEnv("KATIB_STREAM_TEST_IMAGE_" + strings.ToUpper(i.kind)); set {
		return name
	}
	return i.standard
}

func (i image) containerFiles() []testcontainers.ContainerFile {
	var files []testcontainers.ContainerFile
	for path, text := range i.files {
		files = append(files, testcontainers.ContainerFile{Reader: strings.NewReader(text), ContainerFilePath: path, FileMode: 0o644})
	}
	return files
}

// ensureImage has the engine pull an image that it lacks. It does not try again, because it is also what finds out that
// no registry is in reach.
func ensureImage(ctx context.Context, docker *testcontainers.DockerProvider, name string) error {
	if _, err := docker.Client().ImageInspect(ctx, name); err == nil {
		return nil
	}
	fmt.Fprintf(os.Stderr, "testserver: pulling the image %s\n", name)
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	if err := pull(ctx, docker, name); err != nil {
		return fmt.Errorf("pull the image %s: %w", name, err)
	}
	return nil
}

// pull gives up early when the registry does not even begin to send.
func pull(ctx context.Context, docker *testcontainers.DockerProvider, name string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(registryTimeout, func() { cancel(fmt.Errorf("no registry answers within %v", registryTimeout)) })
	response, err := docker.Client().ImagePull(ctx, name, client.ImagePullOptions{RegistryAuth: credentials(ctx, name)})
	silent.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return response.Wait(ctx)
}

// credentials are those that docker login saved for the image's registry, "" without any: most images are public.
func credentials(ctx context.Context, name string) string {
	_, auth, err := testcontainers.DockerImageAuth(ctx, name)
	if err != nil {
		return ""
	}
	encoded, err := authconfig.Encode(auth)
	if err != nil {
		return ""
	}
	return encoded
}
