package kinesis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/logging"
)

// newClient makes the SDK's client that the configuration describes. The
// transport is nil when it is the caller's.
func newClient(cfg Config) (*sdk.Client, *http.Transport, error) {
	if cfg.Client != nil {
		return cfg.Client, nil, nil
	}
	var base aws.Config
	if cfg.AWS != nil {
		base = cfg.AWS.Copy()
	} else {
		opts := []func(*config.LoadOptions) error{config.WithLogger(sdkLogger(cfg.Logger))}
		if cfg.AccessKeyID != "" {
			opts = append(opts, config.WithCredentialsProvider(fixedCredentials(cfg)))
		}
		var err error
		if base, err = config.LoadDefaultConfig(context.Background(), opts...); err != nil {
			return nil, nil, fmt.Errorf("kinesis: the AWS configuration cannot be read: %w", err)
		}
	}
	if cfg.AccessKeyID != "" {
		base.Credentials = fixedCredentials(cfg)
	}
	if base.Region = regionOf(cfg, base.Region); base.Region == "" {
		return nil, nil, errors.New("kinesis: Config.Region: no AWS region given and none found in AWS_REGION or the shared configuration")
	}
	var transport *http.Transport
	if base.HTTPClient == nil {
		base.HTTPClient = awshttp.NewBuildableClient()
	}
	if b, ok := base.HTTPClient.(*awshttp.BuildableClient); ok {
		transport = newTransport(b.GetTransport(), cfg) // which has the CA bundle of AWS_CA_BUNDLE
		base.HTTPClient = &http.Client{Transport: transport, CheckRedirect: noRedirects}
	}
	return sdk.NewFromConfig(base, func(o *sdk.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
	}), transport, nil
}

// sdkLogger passes what the SDK has to say on to the configured logger, at debug
// level: what matters of it comes back as an error as well.
func sdkLogger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
		log.Debug("AWS SDK: " + fmt.Sprintf(format, args...))
	})
}

// noRedirects makes a redirect an answer like others: the service sends none, and
// a signature is good for one host only.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func fixedCredentials(cfg Config) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID: cfg.AccessKeyID, SecretAccessKey: cfg.SecretAccessKey,
			SessionToken: cfg.SessionToken, Source: "kinesis.Config",
		}, nil
	})
}

// regionOf is the region that the configuration means.
func regionOf(cfg Config, found string) string {
	if cfg.Region != "" {
		return cfg.Region
	}
	if st, err := parseStream(cfg.Stream); err == nil && st.region() != "" {
		return st.region()
	}
	if u, err := url.Parse(cfg.Endpoint); err == nil && cfg.Endpoint != "" {
		// kinesis.eu-west-1.amazonaws.com, 123456789012.data-kinesis.eu-west-1.amazonaws.com,
		// vpce-0123.kinesis.eu-west-1.vpce.amazonaws.com
		parts := strings.Split(u.Hostname(), ".")
		for i := range len(parts) - 2 {
			if strings.HasSuffix(parts[i], "kinesis") && strings.Contains(u.Hostname(), ".amazonaws.") {
				return parts[i+1]
			}
		}
		if found == "" {
			return "us-east-1" // an emulator takes any
		}
	}
	return found
}

// newTransport tunes the SDK's transport for a few dozen long requests to one
// host. Connections are HTTP/1.1, one request each: on HTTP/2 a lost packet would
// hold up all requests on the connection.
func newTransport(t *http.Transport, cfg Config) *http.Transport {
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256 // more than anybody's QueueConfig.InFlight
	t.IdleConnTimeout = 50 * time.Second             // below the service's, so that it is we who close
	t.ResponseHeaderTimeout = cfg.RequestTimeout
	t.WriteBufferSize = 64 << 10
	if cfg.TLS != nil {
		t.TLSClientConfig = cfg.TLS.Clone()
		t.TLSClientConfig.MinVersion = max(cfg.TLS.MinVersion, tls.VersionTLS12)
	}
	return t
}
