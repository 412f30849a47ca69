package bridgetest

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// TestRule checks that a rule keeps the contract of bridge.Rule for the given
// messages: it names its filters and always the same ones, gives the same
// records for the same message from many goroutines at once, and keeps nothing
// of the message or the batch.
func TestRule(t *testing.T, r bridge.Rule, msgs ...bridge.Message) {
	t.Helper()
	filters := slices.Clone(r.Filters())
	require.NotEmpty(t, filters, "a rule without filters gets no message")
	want := make([][]Stored, len(msgs))
	errs := make([]error, len(msgs))
	for i := range msgs {
		want[i], errs[i] = applyCopy(r, msgs[i])
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				for i := range msgs {
					got, err := applyCopy(r, msgs[i])
					if (err == nil) != (errs[i] == nil) || !slices.EqualFunc(got, want[i], sameRecord) {
						t.Errorf("message %d: applied at once with others the rule gives %v, %v instead of %v, %v",
							i, got, err, want[i], errs[i])
						return
					}
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, filters, r.Filters(), "Filters changed")
}

// applyCopy applies the rule to a copy of the message, which it then overwrites.
func applyCopy(r bridge.Rule, m bridge.Message) ([]Stored, error) {
	m.Payload = bytes.Clone(m.Payload)
	var out bridge.Batch
	if err := r.Apply(&out, &m); err != nil {
		return nil, err
	}
	list := make([]Stored, len(out.Records))
	for i := range out.Records {
		list[i] = stored(&out.Records[i], 0)
	}
	for i := range m.Payload {
		m.Payload[i] = 'z'
	}
	return list, nil
}

func sameRecord(a, b Stored) bool {
	return a.Dest == b.Dest && a.Key == b.Key && a.HashKey == b.HashKey && a.Data == b.Data
}
