package kinesis

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// hosts notes where requests would go.
type hosts struct{ seen []string }

func (h *hosts) Do(r *http.Request) (*http.Response, error) {
	h.seen = append(h.seen, r.URL.Host)
	return nil, errors.New("no network")
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"kinesis.eu-west-1.amazonaws.com":                        {Region: "eu-west-1"},
		"kinesis-fips.us-east-1.amazonaws.com":                   {Region: "us-east-1", FIPS: true},
		"kinesis.eu-west-1.api.aws":                              {Region: "eu-west-1", DualStack: true},
		"kinesis-fips.us-east-1.api.aws":                         {Region: "us-east-1", FIPS: true, DualStack: true},
		"kinesis.cn-north-1.api.amazonwebservices.com.cn":        {Region: "cn-north-1", DualStack: true},
		"kinesis-fips.us-gov-west-1.api.aws":                     {Endpoint: "https://kinesis-fips.us-gov-west-1.api.aws"},
		"123456789012.data-kinesis-fips.us-east-1.amazonaws.com": {Stream: "arn:aws:kinesis:us-east-1:123456789012:stream/s", FIPS: true},
		"vpce-1.kinesis.us-west-2.vpce.amazonaws.com":            {Endpoint: "https://vpce-1.kinesis.us-west-2.vpce.amazonaws.com"},
	} {
		h := new(hosts)
		cfg.AWS = &aws.Config{HTTPClient: h, Credentials: testCredentials()}
		cfg = quiet(cfg)
		if cfg.Stream == "" {
			cfg.Stream = "s"
		}
		s, err := New(cfg)
		require.NoError(t, err, want)
		s.streams.byDefault.asked.Store(true)
		s.streams.byDefault.due.Store(1 << 62)
		require.Error(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
		require.Equal(t, []string{want}, h.seen)
		require.NoError(t, s.Close(t.Context()))
	}
}

func TestValidateConnection(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"Config.Profile: an AWS configuration":  {Profile: "p", AWS: new(aws.Config)},
		"Config.Profile: a profile and an":      {Profile: "p", AccessKeyID: "a", SecretAccessKey: "b"},
		"Config.RoleARN: ":                      {RoleARN: "arn:aws:iam::123456789012:user/x"},
		"Config.RoleARN: \"writer\" is not":     {RoleARN: "writer"},
		"Config.ExternalID: ":                   {ExternalID: "x"},
		"Config.FIPS: ":                         {FIPS: true, Endpoint: "http://x"},
		"Config.DualStack: ":                    {DualStack: true, Endpoint: "http://x"},
		"Config.CertFile: ":                     {CertFile: "x"},
		"Config.Client: ":                       {Client: new(fake).client(), Profile: "x"},
		"Config.Client: a client of your":       {Client: new(fake).client(), CAFile: "x"},
		"Config.Client: a client of your own b": {Client: new(fake).client(), FIPS: true},
	} {
		require.ErrorContains(t, cfg.Validate(), want)
	}
	require.NoError(t, Config{
		Profile: "p", RoleARN: "arn:aws-cn:iam::123456789012:role/path/writer", ExternalID: "x", FIPS: true, DualStack: true,
		CAFile: "a", CertFile: "b", KeyFile: "c",
	}.Validate())
	require.NoError(t, Config{Client: new(fake).client(), Stream: "arn:aws:kinesis:eu-west-1:123456789012:stream/a"}.Validate())
}

// TestOnTheWay has something on the way answer in the place of Kinesis.
func TestOnTheWay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		mark   error
		text   string
	}{
		{http.StatusMovedPermanently, bridge.ErrUnavailable, "redirects to https://kinesis.example.com"},
		{http.StatusTemporaryRedirect, bridge.ErrUnavailable, "set the endpoint to where Kinesis is"},
		{http.StatusProxyAuthRequired, bridge.ErrUnavailable, "HTTPS_PROXY"},
		{http.StatusForbidden, nil, "a proxy or firewall on the way forbids"},
		{http.StatusBadGateway, bridge.ErrAmbiguous, "did not get an answer of Kinesis"},
		{http.StatusServiceUnavailable, bridge.ErrAmbiguous, "did not get an answer of Kinesis"},
		{http.StatusOK, bridge.ErrAmbiguous, "is not Kinesis, or its reply was cut off"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://kinesis.example.com/x")
			w.WriteHeader(tc.status)
			_, _ = w.Write([]byte("<html>"))
		}))
		s, err := New(quiet(Config{Stream: "s", Endpoint: srv.URL, AccessKeyID: "a", SecretAccessKey: "b"}))
		require.NoError(t, err)
		err = bridgetest.Write(t.Context(), s, batchOf(s, "a=1", "b=2"))
		require.ErrorContains(t, err, tc.text)
		for _, mark := range []error{bridge.ErrThrottled, bridge.ErrAmbiguous, bridge.ErrUnavailable, bridge.ErrPermanent} {
			require.Equal(t, tc.mark != nil && errors.Is(mark, tc.mark), errors.Is(err, mark), "%d: %v", tc.status, mark)
		}
		require.NoError(t, s.Close(t.Context()))
		srv.Close()
	}
}
