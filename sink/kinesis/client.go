package kinesis

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
	"github.com/sluiceio/sluice/internal/certs"
)

// connection is what the configuration says about reaching the service.
func (c Config) connection() awsconn.Options {
	region := c.Region
	if st, err := parseStream(c.Stream); err == nil {
		region = cmp.Or(region, st.region())
	}
	return awsconn.Options{
		Region: region, Endpoint: c.Endpoint, Profile: c.Profile, RoleARN: c.RoleARN, ExternalID: c.ExternalID,
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		FIPS: c.FIPS, DualStack: c.DualStack,
		TLS: c.TLS, Files: certs.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile},
		AWS: c.AWS, Timeout: c.RequestTimeout, Logger: c.Logger,
	}
}

// connect makes the SDK's client that the configuration describes.
func (s *Sink) connect() error {
	if s.client = s.cfg.Client; s.client != nil {
		s.renewer = &awsconn.Renewer{Provider: s.client.Options().Credentials}
		return nil
	}
	conn, err := awsconn.New(s.cfg.connection())
	switch {
	case errors.Is(err, awsconn.ErrNoRegion):
		return fmt.Errorf("kinesis: Config.%w", &bridge.FieldError{Path: "Region", Err: err})
	case err != nil:
		return fmt.Errorf("kinesis: %w", err)
	}
	s.transport, s.renewer = conn.Transport, conn.Renewer
	s.client = sdk.NewFromConfig(conn.AWS, func(o *sdk.Options) {
		if s.cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(s.cfg.Endpoint)
		}
		if s.cfg.FIPS {
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
		}
		if s.cfg.DualStack {
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
		}
	})
	return nil
}

// NewClient returns the service's client that cfg describes, for programs that read
// what a Sink of the same configuration writes.
func NewClient(cfg Config) (*sdk.Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Sink{cfg: cfg.withDefaults()}
	if err := s.connect(); err != nil {
		return nil, err
	}
	return s.client, nil
}
