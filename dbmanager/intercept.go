package dbmanager

import (
	"context"
	"fmt"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func (s *Server) measure(ctx context.Context, r any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	began := time.Now()
	reply, err := handle(ctx, r)
	s.metrics.calls.WithLabelValues(path.Base(info.FullMethod), status.Code(err).String()).Observe(time.Since(began).Seconds())
	return reply, err
}

func (s *Server) recoverCall(ctx context.Context, r any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
	defer s.recover(info.FullMethod, &err)
	return handle(ctx, r)
}

func (s *Server) recoverStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer s.recover(info.FullMethod, &err)
	return handle(server, stream)
}

// recover makes an error of a panic: one call's trouble is not everybody's. The stack is for the log alone.
func (s *Server) recover(method string, err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	s.log.Error("a call panicked", "method", method, "error", fmt.Sprint(cause), "stack", string(debug.Stack()))
	*err = status.Error(codes.Internal, "internal error; the db-manager's log has it")
}

// oneLine is an error as a trailer can carry it.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
