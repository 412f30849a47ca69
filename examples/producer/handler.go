package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/sluiceio/sluice/bridge"
)

// maxBody is what a Kinesis record takes unless its stream is set to more: 1 MiB
// with its key.
const maxBody = 1<<20 - 256

// handler puts bodies under the device's name. Requests wait side by side, so that
// their records share aggregates and calls.
type handler struct{ producer *bridge.Producer }

func newHandler(p *bridge.Producer) http.Handler {
	h := handler{p}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /devices/{device}", h.post)
	mux.HandleFunc("GET /readyz", h.ready)
	return mux
}

func (h handler) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body is larger than a record", http.StatusRequestEntityTooLarge)
		return
	}
	receipt, err := h.producer.PutRecord(r.Context(), bridge.Record{Key: []byte(r.PathValue("device")), Data: body})
	if err != nil {
		code, text := status(err)
		http.Error(w, text, code)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(receipt) // the client may have gone
}

// status is what an error of the producer means to a client. What is not known to
// be stored is an error that says "try again"; the record's ID, or the client's
// own in the body, makes that harmless.
func status(err error) (code int, text string) {
	switch {
	case errors.Is(err, bridge.ErrFull):
		return http.StatusTooManyRequests, "too many records wait; try again"
	case errors.Is(err, bridge.ErrPermanent):
		return http.StatusUnprocessableEntity, err.Error()
	case errors.Is(err, context.Canceled):
		return 499, "the client has gone" // nobody reads it
	default:
		return http.StatusServiceUnavailable, "not stored yet; try again"
	}
}

func (h handler) ready(w http.ResponseWriter, _ *http.Request) {
	if health := h.producer.Health(); health.State > bridge.Inconsistent {
		http.Error(w, health.Reason, http.StatusServiceUnavailable)
	}
}
