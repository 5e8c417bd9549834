//go:build !unix

package child

import (
	"context"
	"errors"
)

// Run cannot run commands on this system: there are no signals to forward.
func Run(context.Context, Command) (status int, err error) {
	return 0, &NotStartedError{StatusNotExecutable, errors.New("this system has no signals that could be forwarded")}
}
