package awsconn

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
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/sluiceio/sluice/internal/certs"
	"github.com/sluiceio/sluice/internal/redact"
)

// Options say how to reach a service. See kinesis.Config for the fields.
type Options struct {
	Region, Endpoint                           string
	Profile                                    string
	RoleARN, ExternalID                        string
	AccessKeyID, SecretAccessKey, SessionToken string
	FIPS, DualStack                            bool
	TLS                                        *tls.Config
	Files                                      certs.Files
	AWS                                        *aws.Config

	Timeout time.Duration // of a request
	Logger  *slog.Logger
}

// Validate reports every field that cannot be used to bad.
func (o Options) Validate(bad func(field, format string, args ...any)) {
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad("Endpoint", "%q is not an http or https URL", redact.URL(o.Endpoint))
		}
	}
	if (o.AccessKeyID == "") != (o.SecretAccessKey == "") {
		bad("AccessKeyID", "AccessKeyID and SecretAccessKey go together")
	}
	if o.SessionToken != "" && o.AccessKeyID == "" {
		bad("SessionToken", "a session token needs an access key")
	}
	if o.Profile != "" && o.AWS != nil {
		bad("Profile", "an AWS configuration of your own has its profile already")
	}
	if o.Profile != "" && o.AccessKeyID != "" {
		bad("Profile", "a profile and an access key exclude each other")
	}
	if o.RoleARN != "" {
		if a, err := arn.Parse(o.RoleARN); err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "role/") {
			bad("RoleARN", "%q is not the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME", o.RoleARN)
		}
	}
	if o.ExternalID != "" && o.RoleARN == "" {
		bad("ExternalID", "an external id belongs to a RoleARN")
	}
	if o.FIPS && o.Endpoint != "" {
		bad("FIPS", "an Endpoint says already which host it is")
	}
	if o.DualStack && o.Endpoint != "" {
		bad("DualStack", "an Endpoint says already which host it is")
	}
	if (o.Files.Cert == "") != (o.Files.Key == "") {
		bad("CertFile", "CertFile and KeyFile go together")
	}
}

// Conn is a configuration of the SDK that follows its files.
type Conn struct {
	AWS       aws.Config
	Transport *Transport // nil when the HTTP client is the caller's
	Renewer   *Renewer
}

// ErrNoRegion is why there is no Conn: the field Region is needed.
var ErrNoRegion = errors.New("no AWS region given and none found in AWS_REGION or the shared configuration")

// New reads the AWS configuration of the machine, unless the options say it all.
func New(o Options) (*Conn, error) {
	ctx := context.Background()
	base, err := o.load(ctx)
	if err != nil {
		return nil, err
	}
	if base.Region = o.region(base.Region); base.Region == "" {
		return nil, ErrNoRegion
	}
	c := &Conn{AWS: base}
	if c.Transport, err = o.transport(base); err != nil {
		return nil, err
	}
	if c.Transport != nil {
		c.AWS.HTTPClient = &http.Client{Transport: c.Transport, CheckRedirect: noRedirects}
	}
	switch {
	case o.AccessKeyID != "" && o.RoleARN == "":
		c.AWS.Credentials = fixed(o)
		c.Renewer = new(Renewer) // they stay what they are
	case o.AWS != nil && o.RoleARN == "":
		c.Renewer = &Renewer{Provider: base.Credentials} // the caller's own
	default:
		source := &credentials{load: func(ctx context.Context) (aws.CredentialsProvider, error) {
			again, err := o.load(ctx)
			if err != nil {
				return nil, err
			}
			again.Region, again.HTTPClient = c.AWS.Region, c.AWS.HTTPClient
			return o.credentials(again), nil
		}, inner: o.credentials(c.AWS)}
		c.AWS.Credentials = aws.NewCredentialsCache(source)
		c.Renewer = &Renewer{Provider: c.AWS.Credentials, source: source}
	}
	return c, nil
}

// load reads the AWS configuration.
func (o Options) load(ctx context.Context) (aws.Config, error) {
	if o.AWS != nil {
		return o.AWS.Copy(), nil
	}
	opts := []func(*config.LoadOptions) error{config.WithLogger(sdkLogger(o.Logger))}
	if o.AccessKeyID != "" {
		opts = append(opts, config.WithCredentialsProvider(fixed(o)))
	}
	if o.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(o.Profile))
	}
	if o.FIPS {
		opts = append(opts, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if o.DualStack {
		opts = append(opts, config.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}
	c, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return c, fmt.Errorf("the AWS configuration cannot be read: %w", err)
	}
	return c, nil
}

// credentials are those that the options mean on the ground of an AWS
// configuration.
func (o Options) credentials(base aws.Config) aws.CredentialsProvider {
	if o.AccessKeyID != "" {
		base.Credentials = fixed(o)
	}
	if o.RoleARN == "" {
		return base.Credentials
	}
	client := sts.NewFromConfig(base, func(s *sts.Options) {
		if o.FIPS {
			s.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
		}
		if o.DualStack {
			s.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
		}
	})
	return stscreds.NewAssumeRoleProvider(client, o.RoleARN, func(a *stscreds.AssumeRoleOptions) {
		a.RoleSessionName = "sluice"
		if o.ExternalID != "" {
			a.ExternalID = aws.String(o.ExternalID)
		}
	})
}

// region is the region that the options mean.
func (o Options) region(found string) string {
	if o.Region != "" {
		return o.Region
	}
	if o.Endpoint == "" {
		return found
	}
	region, isAWS := RegionOf(o.Endpoint)
	switch {
	case region != "":
		return region
	case found == "" && !isAWS:
		return "us-east-1" // an emulator takes any
	}
	return found
}

// transport is the one of the SDK, tuned and with our files; nil for a caller's
// own.
func (o Options) transport(base aws.Config) (*Transport, error) {
	if base.HTTPClient == nil {
		base.HTTPClient = awshttp.NewBuildableClient()
	}
	b, ok := base.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return nil, nil
	}
	t := b.GetTransport()
	tune(t, o.Timeout)
	if o.TLS != nil {
		t.TLSClientConfig = o.TLS.Clone()
	}
	files := o.Files
	if files.CA == "" && (o.TLS == nil || o.TLS.RootCAs == nil) {
		files.CA = bundle(base)
	}
	return newTransport(t, files, o.Logger)
}

// bundle is the file of authorities that AWS_CA_BUNDLE or the shared
// configuration names.
func bundle(base aws.Config) string {
	for _, s := range base.ConfigSources {
		switch s := s.(type) {
		case config.EnvConfig:
			if s.CustomCABundle != "" {
				return s.CustomCABundle
			}
		case config.SharedConfig:
			if s.CustomCABundle != "" {
				return s.CustomCABundle
			}
		}
	}
	return ""
}

// tune fits the SDK's transport for a few dozen long requests to one host.
// Connections are HTTP/1.1, one request each: on HTTP/2 a lost packet would hold up
// all requests on the connection.
func tune(t *http.Transport, timeout time.Duration) {
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256 // more than anybody's QueueConfig.InFlight
	t.IdleConnTimeout = 50 * time.Second             // below the service's, so that it is we who close
	t.ResponseHeaderTimeout = timeout
	t.WriteBufferSize = 64 << 10
}

// noRedirects makes a redirect an answer like others: the services send none, and
// a signature is good for one host only.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// sdkLogger passes what the SDK has to say on to the configured logger, at debug
// level: what matters of it comes back as an error as well.
func sdkLogger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
		log.Debug("AWS SDK: " + redact.Text(fmt.Sprintf(format, args...)))
	})
}
