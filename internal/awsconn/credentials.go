package awsconn

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// credentials get fresh ones in all ways that there are: they load the
// configuration anew. The SDK reads a shared credentials file once, and keeps what
// it found for ever when that has no expiry of its own, although others may rotate
// the file.
type credentials struct {
	load func(context.Context) (aws.CredentialsProvider, error)

	mu    sync.Mutex
	inner aws.CredentialsProvider // nil: to be loaded
}

// Retrieve implements aws.CredentialsProvider.
func (c *credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	inner, err := c.provider(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return inner.Retrieve(ctx)
}

func (c *credentials) provider(ctx context.Context) (aws.CredentialsProvider, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		inner, err := c.load(ctx)
		if err != nil {
			return nil, err
		}
		c.inner = inner
	}
	return c.inner, nil
}

func (c *credentials) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inner = nil
}

// renewPause is the shortest time between two renewals of credentials: many
// requests may find at once that they have expired.
const renewPause = 5 * time.Second

// Renewer makes a client's credentials be fetched anew.
type Renewer struct {
	Provider aws.CredentialsProvider // of the client
	source   *credentials            // nil for a caller's own
	last     atomic.Int64            // Unix nanoseconds
}

// Renew makes the next request fetch fresh credentials, at most once in a few
// seconds, and reports whether there is a way to.
func (r *Renewer) Renew() bool {
	cache, ok := r.Provider.(*aws.CredentialsCache)
	now, last := time.Now().UnixNano(), r.last.Load()
	if ok && now-last >= int64(renewPause) && r.last.CompareAndSwap(last, now) {
		if r.source != nil {
			r.source.forget()
		}
		cache.Invalidate()
	}
	return ok
}

// fixed are credentials that the configuration has.
func fixed(o Options) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID: o.AccessKeyID, SecretAccessKey: o.SecretAccessKey,
			SessionToken: o.SessionToken, Source: "configuration",
		}, nil
	})
}
