package mqtt

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/sluiceio/sluice/internal/topic"
)

const askTimeout = 5 * time.Second

// Ask connects to the broker as cfg says and asks for its subscriptions, to learn
// whether a Source would get them, and disconnects. It takes nothing from a source that
// is running: it has a client id of its own, cfg.ClientID with an addition, and a session
// that begins and ends with the connection; it is in no group of a shared subscription,
// and what it receives with QoS 0 meanwhile is dropped. Without Filters it subscribes to
// nothing. It gives up after StartTimeout, ConnectTimeout or, without either, 5 s.
func Ask(ctx context.Context, cfg Config) error {
	filters := cfg.Filters
	cfg.CleanStart = true
	if len(filters) == 0 {
		cfg.Filters = []Subscription{{Filter: "#"}} // for Validate alone
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.ClientID != "" {
		cfg.ClientID += fmt.Sprintf("-check-%04x", rand.N(1<<16))
	}
	cfg.SessionExpiry = -time.Second
	cfg.Connections, cfg.BufferQoS0 = 1, 1
	cfg.Will = nil
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, cfg.ConnectTimeout, askTimeout)
	cfg.Filters = nil
	asked := map[string]bool{}
	for _, s := range filters {
		if _, own, _ := topic.Share(s.Filter); !asked[own] {
			asked[own] = true
			cfg.Filters = append(cfg.Filters, Subscription{Filter: own, RetainHandling: RetainNever, UserProperties: s.UserProperties})
		}
	}
	s := newSource(cfg)
	if err := s.Open(ctx); err != nil {
		return err
	}
	return s.Close(ctx)
}
