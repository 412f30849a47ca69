package kinesis_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// guarded is a Kinesis that knows one access key at a time.
type guarded struct {
	*httptest.Server
	kinesis *kinesistest.Server
	key     atomic.Value // the key that is known
	code    string       // of the refusal of others
	refused atomic.Int32
}

func newGuarded(t *testing.T, key, code string) *guarded {
	t.Helper()
	g := &guarded{code: code, kinesis: kinesistest.Start(t, kinesistest.Config{
		NoSocket: true, Logger: slog.New(slog.DiscardHandler), Streams: []kinesistest.StreamConfig{{Name: "s"}},
	})}
	g.key.Store(key)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "Credential="+g.key.Load().(string)+"/") {
			g.kinesis.ServeHTTP(w, r)
			return
		}
		g.refused.Add(1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q,"message":"The security token included in the request is not valid."}`, g.code)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *guarded) sink(t *testing.T, cfg kinesis.Config) *kinesis.Sink {
	t.Helper()
	cfg.Endpoint, cfg.Stream, cfg.Logger = g.URL, "s", slog.New(slog.DiscardHandler)
	s, err := kinesis.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

// sharedFiles makes the SDK find the contents in its shared files, and nothing
// elsewhere. It returns the name of the credentials file.
func sharedFiles(t *testing.T, credentials, config string) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string]string{"credentials": credentials, "config": config} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600))
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_REGION", "eu-west-1")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return filepath.Join(dir, "credentials")
}

func profile(name, key string) string {
	return fmt.Sprintf("[%s]\naws_access_key_id = %s\naws_secret_access_key = secret\n", name, key)
}

func reading() *bridge.Batch {
	b := new(bridge.Batch)
	b.Add(bridge.Record{Key: []byte("k"), Data: []byte("d")})
	return b
}

// TestRotatedCredentialsFile has another process rotate the shared credentials
// file, whose credentials have no expiry of their own.
func TestRotatedCredentialsFile(t *testing.T) {
	for _, code := range []string{"ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId"} {
		t.Run(code, func(t *testing.T) {
			file := sharedFiles(t, profile("default", "FIRST"), "")
			g := newGuarded(t, "FIRST", code)
			s := g.sink(t, kinesis.Config{})
			require.NoError(t, bridgetest.Write(t.Context(), s, reading()))

			require.NoError(t, os.WriteFile(file, []byte(profile("default", "SECOND")), 0o600))
			g.key.Store("SECOND")
			require.NoError(t, bridgetest.Write(t.Context(), s, reading()), "nothing to restart, nothing to wait for")
			require.EqualValues(t, 1, g.refused.Load())
			require.NoError(t, bridgetest.Write(t.Context(), s, reading()))
			require.Len(t, g.kinesis.UserRecords("s"), 3)

			g.key.Store("THIRD") // and the file comes late
			err := bridgetest.Write(t.Context(), s, reading())
			require.ErrorIs(t, err, bridge.ErrUnavailable)
			require.ErrorContains(t, err, code)
		})
	}
}

// TestCheckAfterRotation finds nothing wrong when nothing was written since.
func TestCheckAfterRotation(t *testing.T) {
	for name, stream := range map[string]string{"stream": "s", "no stream": ""} {
		t.Run(name, func(t *testing.T) {
			file := sharedFiles(t, profile("default", "FIRST"), "")
			g := newGuarded(t, "FIRST", "UnrecognizedClientException")
			s, err := kinesis.New(kinesis.Config{Stream: stream, Endpoint: g.URL, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, []byte(profile("default", "SECOND")), 0o600))
			g.key.Store("SECOND")
			require.NoError(t, s.Check(t.Context()))
			require.NoError(t, s.Close(t.Context()))
		})
	}
}

func TestProfile(t *testing.T) {
	sharedFiles(t, profile("default", "OTHER")+profile("gateway", "MINE"), "[profile gateway]\nregion = ap-south-1\n")
	g := newGuarded(t, "MINE", "UnrecognizedClientException")
	require.Error(t, bridgetest.Write(t.Context(), g.sink(t, kinesis.Config{}), reading()))
	require.NoError(t, bridgetest.Write(t.Context(), g.sink(t, kinesis.Config{Profile: "gateway"}), reading()))
	_, err := kinesis.New(kinesis.Config{Profile: "none"})
	require.ErrorContains(t, err, "none")
}

// tokenService is an STS that lets one key assume one role.
type tokenService struct {
	*httptest.Server
	key              atomic.Value
	role, externalID string
	assumed          atomic.Int32
	gives            string // the key of the role
}

func newTokenService(t *testing.T) *tokenService {
	t.Helper()
	s := &tokenService{role: "arn:aws:iam::123456789012:role/writer", externalID: "sluice-7", gives: "TEMPORARY"}
	s.key.Store("BASE")
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", s.URL)
	return s
}

func (s *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(code string) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error></ErrorResponse>`, code)
	}
	switch {
	case !strings.Contains(r.Header.Get("Authorization"), "Credential="+s.key.Load().(string)+"/"):
		refuse("InvalidClientTokenId")
	case r.FormValue("Action") != "AssumeRole", r.FormValue("RoleArn") != s.role, r.FormValue("ExternalId") != s.externalID:
		refuse("AccessDenied")
	default:
		s.assumed.Add(1)
		fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId>`+
			`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>`+
			`</Credentials></AssumeRoleResult></AssumeRoleResponse>`, s.gives)
	}
}

func TestRole(t *testing.T) {
	file := sharedFiles(t, profile("default", "BASE"), "")
	sts := newTokenService(t)
	g := newGuarded(t, "TEMPORARY", "ExpiredTokenException")
	cfg := kinesis.Config{RoleARN: sts.role, ExternalID: sts.externalID}
	s := g.sink(t, cfg)
	require.NoError(t, bridgetest.Write(t.Context(), s, reading()))
	require.NoError(t, bridgetest.Write(t.Context(), s, reading()))
	require.EqualValues(t, 1, sts.assumed.Load())

	wrong := cfg
	wrong.ExternalID = "other"
	err := bridgetest.Write(t.Context(), g.sink(t, wrong), reading())
	require.ErrorIs(t, err, bridge.ErrUnavailable)
	require.ErrorContains(t, err, "may not assume the role")

	fixed := cfg
	fixed.AccessKeyID, fixed.SecretAccessKey = "BASE", "secret"
	require.NoError(t, bridgetest.Write(t.Context(), g.sink(t, fixed), reading()))

	// The role's credentials are refused, and those that assume it are rotated.
	sts.key.Store("ROTATED")
	sts.gives = "FRESH"
	g.key.Store("FRESH")
	require.NoError(t, os.WriteFile(file, []byte(profile("default", "ROTATED")), 0o600))
	require.NoError(t, bridgetest.Write(t.Context(), s, reading()))
}
