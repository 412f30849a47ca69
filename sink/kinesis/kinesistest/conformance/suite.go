package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// Target is an implementation to check.
type Target struct {
	// Client reaches it. Its retries should be off.
	Client *kinesis.Client

	// Deviations are the checks it does not pass, by name, and what it does
	// instead.
	Deviations map[string]string

	// Prefix of the names of the streams that the suite creates and deletes.
	Prefix string
}

// Check is one property of the service.
type Check struct {
	Name string
	Run  func(ctx context.Context, e *Env) error
}

// Checks are all checks, in the order of the documentation's table.
func Checks() []Check {
	var all []Check
	for _, family := range [][]Check{streamChecks, shardChecks, putChecks, sizeChecks, getChecks, settingChecks} {
		all = append(all, family...)
	}
	return all
}

// Test runs all checks on the target, each with streams of its own.
func Test(t *testing.T, target Target) {
	known := map[string]bool{}
	for _, check := range Checks() {
		known[check.Name] = true
		t.Run(check.Name, func(t *testing.T) {
			e := &Env{target: target}
			defer e.cleanUp(context.WithoutCancel(t.Context()))
			err := check.Run(t.Context(), e)
			why, deviates := target.Deviations[check.Name]
			switch {
			case err != nil && deviates:
				t.Logf("known deviation: %s: %v", why, err)
			case err != nil:
				t.Error(err)
			case deviates:
				t.Errorf("conforms, although listed as deviating: %s", why)
			}
		})
	}
	for name := range target.Deviations {
		if !known[name] {
			t.Errorf("Deviations: there is no check %q", name)
		}
	}
}

// Env is what a check works with.
type Env struct {
	target  Target
	streams []string
}

var streamNumber atomic.Int64

// client is the target's client.
func (e *Env) client() *kinesis.Client { return e.target.Client }

// name makes up a stream name.
func (e *Env) name() string {
	name := fmt.Sprintf("%s%d-%d", e.target.Prefix, time.Now().UnixNano(), streamNumber.Add(1))
	e.streams = append(e.streams, name)
	return name
}

// stream creates a stream of so many shards and waits until it is ACTIVE.
func (e *Env) stream(ctx context.Context, shards int32) (string, error) {
	return e.create(ctx, &kinesis.CreateStreamInput{ShardCount: &shards})
}

func (e *Env) create(ctx context.Context, in *kinesis.CreateStreamInput) (string, error) {
	name := e.name()
	in.StreamName = &name
	if _, err := e.client().CreateStream(ctx, in); err != nil {
		return "", err
	}
	return name, e.active(ctx, name)
}

// poll is how often states are looked at, patience how long.
const (
	poll     = 20 * time.Millisecond
	patience = 2 * time.Minute
)

// active waits until the stream is ACTIVE.
func (e *Env) active(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		out, err := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil && !hasCode(err, "LimitExceededException") {
			return fmt.Errorf("waiting for %s: %w", name, err)
		}
		if err == nil && out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return nil
		}
		timer := time.NewTimer(poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", name, context.Cause(ctx))
		}
	}
}

func (e *Env) arn(ctx context.Context, name string) (string, error) {
	out, err := e.client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
	if err != nil {
		return "", err
	}
	return *out.StreamDescriptionSummary.StreamARN, nil
}

func (e *Env) cleanUp(ctx context.Context) {
	for _, name := range e.streams {
		_, _ = e.client().DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &name})
	}
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// fails checks that err is the service's error of that code, and that its
// message contains the text.
func fails(err error, code, text string) error {
	var api smithy.APIError
	switch {
	case err == nil:
		return fmt.Errorf("accepted; want %s", code)
	case !errors.As(err, &api):
		return fmt.Errorf("got %w; want %s", err, code)
	case api.ErrorCode() != code:
		return fmt.Errorf("got %s: %s; want %s", api.ErrorCode(), api.ErrorMessage(), code)
	case !strings.Contains(api.ErrorMessage(), text):
		return fmt.Errorf("got message %q; want one with %q", api.ErrorMessage(), text)
	}
	return nil
}

// equal checks a value.
func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v; want %v", what, got, want)
	}
	return nil
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
