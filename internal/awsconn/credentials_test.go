package awsconn

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"
)

// TestRenew loads credentials anew at most every few seconds, also after loading
// them failed.
func TestRenew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // away from the zero time
		var loads atomic.Int32
		key, broken := "first", false
		source := &credentials{load: func(context.Context) (aws.CredentialsProvider, error) {
			loads.Add(1)
			if broken {
				return nil, errors.New("half of a file")
			}
			return fixed(Options{AccessKeyID: key, SecretAccessKey: "s"}), nil
		}}
		r := &Renewer{Provider: aws.NewCredentialsCache(source), source: source}
		get := func() string {
			c, err := r.Provider.Retrieve(t.Context())
			if err != nil {
				return err.Error()
			}
			return c.AccessKeyID
		}
		require.Equal(t, "first", get())
		key = "second"
		require.Equal(t, "first", get(), "nobody said that it is no longer good")
		require.True(t, r.Renew())
		require.Equal(t, "second", get())
		key = "third"
		require.True(t, r.Renew())
		require.Equal(t, "second", get(), "not so soon again")
		time.Sleep(renewPause)
		broken = true
		require.True(t, r.Renew())
		require.Contains(t, get(), "half of a file")
		broken = false
		require.Equal(t, "third", get())
		require.EqualValues(t, 4, loads.Load())
	})
	require.False(t, (&Renewer{Provider: aws.AnonymousCredentials{}}).Renew())
}
