package firehose

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/firehose"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
	"github.com/sluiceio/sluice/internal/certs"
)

// What one request takes, by the service's reference of PutRecordBatch.
const (
	// MaxRecords is the highest number of records.
	MaxRecords = 500
	// MaxRecordBytes is the highest size of a record before it is encoded.
	MaxRecordBytes = 1000 << 10
	// MaxRequestBytes is the highest size of all records together.
	MaxRequestBytes = 4 << 20
)

// Config describes a Sink.
type Config struct {
	// AWS is the configuration of the SDK, with region, credentials and HTTP
	// client. Default: what every AWS program finds (environment, files,
	// roles), read again when its credentials are refused.
	AWS *aws.Config
	// CAFile has the authorities, in PEM, that sign the certificate of the
	// service or a proxy. Default: AWS_CA_BUNDLE, else the system's. CertFile
	// and KeyFile are the certificate and key of the client, where one is asked
	// for. All are read again when their contents change.
	CAFile, CertFile, KeyFile string
	// Delimiter is appended to the data of each record, such as "\n" to make
	// lines of JSON objects. Default: none.
	Delimiter string
	// Endpoint is the URL of the service where it is not AWS's own.
	Endpoint string
	// FIPS and DualStack choose AWS's endpoints with validated cryptography,
	// and with IPv6.
	FIPS, DualStack bool
	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
	// Profile is the profile of the shared configuration. Default: AWS_PROFILE
	// or "default".
	Profile string
	// Region is the AWS region. Default: that of an AWS Endpoint, or of AWS.
	Region string
	// RoleARN is a role to assume with the credentials otherwise meant, and
	// ExternalID what its trust policy may ask for.
	RoleARN, ExternalID string
	// Stream is the delivery stream of records that name none in Dest.
	Stream string
	// TLS is the ground for connections to the service; nil for the usual.
	TLS *tls.Config
	// Timeout bounds a request with its answer. Default 10 s.
	Timeout time.Duration
}

// streamName is the service's rule for names.
var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)})
	}
	c.connection().Validate(bad)
	if len(c.Delimiter) > 1<<10 {
		bad("Delimiter", "has %d bytes, more than 1024", len(c.Delimiter))
	}
	if c.Stream != "" && !streamName.MatchString(c.Stream) {
		bad("Stream", "%q is not a name: 1 to 64 letters, digits and _ . -", c.Stream)
	}
	if c.Timeout < 0 {
		bad("Timeout", "%v is negative", c.Timeout)
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// connection is what the configuration says about reaching the service.
func (c Config) connection() awsconn.Options {
	return awsconn.Options{
		Region: c.Region, Endpoint: c.Endpoint, Profile: c.Profile, RoleARN: c.RoleARN, ExternalID: c.ExternalID,
		FIPS: c.FIPS, DualStack: c.DualStack, TLS: c.TLS, Files: certs.Files{CA: c.CAFile, Cert: c.CertFile, Key: c.KeyFile},
		AWS: c.AWS, Timeout: c.Timeout, Logger: c.Logger,
	}
}

// connect makes the SDK's client. It does not try again by itself, which would
// hide duplicates.
func (s *Sink) connect() error {
	conn, err := awsconn.New(s.cfg.connection())
	switch {
	case errors.Is(err, awsconn.ErrNoRegion):
		return &bridge.FieldError{Path: "Region", Err: err}
	case err != nil:
		return err
	}
	s.transport, s.renewer = conn.Transport, conn.Renewer
	s.client = sdk.NewFromConfig(conn.AWS, func(o *sdk.Options) {
		o.Protocol = awsconn.Protocol{ClientProtocol: o.Protocol}
		o.Retryer = aws.NopRetryer{}
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
	s.place = awsconn.Place{Service: "Firehose", Region: conn.AWS.Region, Endpoint: s.cfg.Endpoint}
	return nil
}
