package httpd

import (
	"context"
	"net/http"
	"time"
)

// readyTime bounds the look at the service's parts.
const readyTime = 5 * time.Second

// getHealth answers that the process lives.
func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) {
	s.writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []Reason `json:"reasons"`
}

// getReady answers whether commands can work, and else why not, with status 503.
func (s *Server) getReady(w http.ResponseWriter, r *http.Request) {
	answer := readiness{Reasons: []Reason{}}
	select {
	case <-s.closing:
		answer.Reasons = append(answer.Reasons, Reason{Component: "service", Reason: "shutting down"})
	default:
	}
	if s.options.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		answer.Reasons = append(answer.Reasons, s.options.Ready(ctx)...)
	}
	answer.Ready = len(answer.Reasons) == 0
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	s.writeJSON(w, status, answer)
}
