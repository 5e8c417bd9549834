package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// envProvider chooses the provider.
const envProvider = "KATIB_STREAM_TEST_PROVIDER"

// chooseProvider opens the provider that the environment asks for, and says on standard error why it is not containers
// when an engine is there that could have run them.
func chooseProvider(ctx context.Context) (provider, error) {
	switch choice := os.Getenv(envProvider); choice {
	case "private":
		return openPrivate()
	case "testcontainers":
		return openContainers(ctx)
	case "", "auto":
		return chooseAny(ctx)
	default:
		return nil, fmt.Errorf("%s is %q; write auto, testcontainers or private", envProvider, choice)
	}
}

func chooseAny(ctx context.Context) (provider, error) {
	containers, noContainers := openContainers(ctx)
	if noContainers == nil {
		return containers, nil
	}
	if !errors.Is(noContainers, errNoEngine) {
		fmt.Fprintln(os.Stderr, "testserver: no containers:", noContainers)
	}
	private, err := openPrivate()
	if err != nil {
		return nil, fmt.Errorf("%w; no containers either: %w", err, noContainers)
	}
	return private, nil
}

func openPrivate() (provider, error) {
	p, err := newPrivateProvider()
	if err != nil {
		return nil, err
	}
	return p, nil
}

func openContainers(ctx context.Context) (provider, error) {
	p, err := newContainerProvider(ctx)
	if err != nil {
		return nil, err
	}
	return p, nil
}
