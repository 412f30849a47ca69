package bridgetest

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// The sentences of bridge.Rule that TestRule checks.
const (
	ruleFilters    = "bridge.Rule: Filters must return the same on every call"
	ruleConcurrent = "bridge.Rule: Apply is called concurrently, and must not keep m or out: the same message gives the same records"
	ruleChanges    = "bridge.Rule: Apply must not change what m refers to"
	ruleKeepsOut   = "bridge.Rule: Apply must not keep out"
	ruleKept       = "bridge.Out.Keep: memory of AvailableBuffer that is not kept is overwritten by the next use"
	ruleReturns    = "bridge.Rule: Apply must not block"
)

// TestRule checks that a rule keeps the contract of bridge.Rule for the given
// messages: it names its filters and always the same ones, gives the same
// records for the same message from many goroutines at once, changes nothing of
// the message, and keeps neither it nor the Out. What is not its own is
// overwritten as soon as a call has returned.
func TestRule(t *testing.T, r bridge.Rule, msgs ...bridge.Message) {
	t.Helper()
	filters := slices.Clone(r.Filters())
	require.NotEmpty(t, filters, "a rule without filters gets no message")
	want := make([][]Stored, len(msgs))
	errs := make([]error, len(msgs))
	outs := make([]bridge.Out, len(msgs))
	lens := make([]int, len(msgs))
	for i := range msgs {
		_ = within(t, suiteTimeout, ruleReturns, func() error {
			want[i], errs[i] = applyCopy(t, r, msgs[i], &outs[i])
			return nil
		})
		lens[i] = outs[i].Len()
	}
	for i := range msgs {
		if got, err := applyCopy(t, r, msgs[i], new(bridge.Out)); (err == nil) != (errs[i] == nil) || !slices.EqualFunc(got, want[i], sameRecord) {
			t.Errorf("message %d: applied again the rule gives %v, %v instead of %v, %v: %s", i, got, err, want[i], errs[i], ruleConcurrent)
		}
	}
	for i := range outs {
		require.Equal(t, lens[i], outs[i].Len(), "an Out has other records after later messages: %s", ruleKeepsOut)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				for i := range msgs {
					got, err := applyCopy(t, r, msgs[i], new(bridge.Out))
					if (err == nil) != (errs[i] == nil) || !slices.EqualFunc(got, want[i], sameRecord) {
						t.Errorf("message %d: applied at once with others the rule gives %v, %v instead of %v, %v: %s",
							i, got, err, want[i], errs[i], ruleConcurrent)
						return
					}
				}
			}
		})
	}
	_ = within(t, 10*suiteTimeout, ruleReturns, func() error { wg.Wait(); return nil })
	require.Equal(t, filters, r.Filters(), ruleFilters)
}

// applyCopy applies the rule to a copy of the message, which it then overwrites, as
// it does with the memory that the rule has taken from out and not kept.
func applyCopy(t *testing.T, r bridge.Rule, m bridge.Message, out *bridge.Out) ([]Stored, error) {
	given, want := cloneRefs(m), cloneRefs(m)
	err := r.Apply(out, &given)
	if !bytes.Equal(given.Payload, want.Payload) || !reflect.DeepEqual(given.Props, want.Props) || !reflect.DeepEqual(given.Columns, want.Columns) {
		t.Errorf("the message is another one after Apply: %s", ruleChanges)
	}
	var list []Stored
	if err == nil {
		list = copies(out)
		free := out.AvailableBuffer()
		poison(free[:cap(free)])
		if !slices.EqualFunc(list, copies(out), sameRecord) {
			t.Errorf("a record is another one when the Out's free memory is used: %s", ruleKept)
		}
	}
	poison(given.Payload)
	return list, err
}

func copies(out *bridge.Out) (list []Stored) {
	for i := range out.Records() {
		list = append(list, stored(&out.Records()[i], 0))
	}
	return list
}

func poison(b []byte) {
	for i := range b {
		b[i] = 'z'
	}
}

// cloneRefs returns m with copies of its payload, properties and columns.
func cloneRefs(m bridge.Message) bridge.Message {
	m.Payload, m.Columns = bytes.Clone(m.Payload), maps.Clone(m.Columns)
	if m.Props != nil {
		p := *m.Props
		p.CorrelationData = bytes.Clone(p.CorrelationData)
		p.SubscriptionIDs, p.User = slices.Clone(p.SubscriptionIDs), slices.Clone(p.User)
		m.Props = &p
	}
	return m
}

func sameRecord(a, b Stored) bool {
	return a.Dest == b.Dest && a.Key == b.Key && a.HashKey == b.HashKey && a.Data == b.Data
}
