package dbmanager

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
)

const (
	// healthTimeout is how long the database may take to answer.
	healthTimeout = 3 * time.Second
	// TrailerError says in words why health is NOT_SERVING.
	TrailerError = "katib-stream-error"
)

// health answers as Katib's db-manager does: it serves when the database answers. NATS does not count, so that no liveness
// probe kills a process because of it.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	db   Database
	log  *slog.Logger
	sick atomic.Bool
}

// Check answers a probe.
func (h *health) Check(ctx context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	switch r.GetService() {
	case "", grpc_health_v1.Health_ServiceDesc.ServiceName, katibapi.DBManager_ServiceDesc.ServiceName:
	default:
		return nil, status.Errorf(codes.NotFound, "there is no service %q; ask for %s", cut(r.GetService()), katibapi.DBManager_ServiceDesc.ServiceName)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	err := h.db.Ping(ctx)
	if err == nil {
		if h.sick.Swap(false) {
			h.log.Info("the database answers again")
		}
		return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
	}
	if !h.sick.Swap(true) {
		h.log.Warn("the database does not answer; health is NOT_SERVING until it does", "error", err)
	}
	setTrailer(ctx, TrailerError, "Failed to execute `SELECT 1` probe: "+oneLine(err))
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}, nil
}
