package rule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/rule"
)

// TestSuite runs every workload through the suite that all rules have to pass.
func TestSuite(t *testing.T) {
	t.Parallel()
	// The clock stands still: the column timestamp is the time of the evaluation.
	engine, err := rule.NewEngine(rule.EngineConfig{Now: func() time.Time { return time.UnixMilli(1700000000000) }})
	require.NoError(t, err)
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r, err := rule.New(rule.Config{SQL: w.sql, Engine: engine, Actions: []rule.Action{w.action, {Dest: "d-${topic}", Key: "${topic}", UndefinedKey: rule.KeyTopic}}})
			require.NoError(t, err)
			bridgetest.TestRule(t, r, *message(w.payload), *message("no JSON"), *message("{}"))
		})
	}
}

var _ bridge.Rule = (*rule.Rule)(nil)
