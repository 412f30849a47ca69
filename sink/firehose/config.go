package firehose

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/firehose"
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
	// roles).
	AWS *aws.Config
	// Delimiter is appended to the data of each record, such as "\n" to make
	// lines of JSON objects. Default: none.
	Delimiter string
	// Endpoint is the URL of the service where it is not AWS's own.
	Endpoint string
	// Region is the AWS region. Default: that of AWS.
	Region string
	// Stream is the delivery stream of records that name none in Dest.
	Stream string
	// Timeout bounds a request with its answer. Default 10 s.
	Timeout time.Duration
}

// streamName is the service's rule for names.
var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		bad("Endpoint: want http://… or https://…")
	}
	if len(c.Delimiter) > 1<<10 {
		bad("Delimiter: has %d bytes, more than 1024", len(c.Delimiter))
	}
	if c.Stream != "" && !streamName.MatchString(c.Stream) {
		bad("Stream: %q is not a name: 1 to 64 letters, digits and _ . -", c.Stream)
	}
	if c.Timeout < 0 {
		bad("Timeout: %v is negative", c.Timeout)
	}
	return errors.Join(errs...)
}

// client makes the SDK's client. It does not try again by itself, which would
// hide duplicates.
func (c Config) client() (*sdk.Client, error) {
	var base aws.Config
	if c.AWS != nil {
		base = c.AWS.Copy()
	} else {
		var err error
		if base, err = config.LoadDefaultConfig(context.Background()); err != nil {
			return nil, fmt.Errorf("the AWS configuration cannot be read: %w", err)
		}
	}
	if c.Region != "" {
		base.Region = c.Region
	}
	if base.Region == "" {
		return nil, errors.New("no AWS region: set Region, AWS_REGION or the shared configuration")
	}
	if base.HTTPClient == nil {
		base.HTTPClient = awshttp.NewBuildableClient()
	}
	return sdk.NewFromConfig(base, func(o *sdk.Options) {
		o.Retryer = aws.NopRetryer{}
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
	}), nil
}
