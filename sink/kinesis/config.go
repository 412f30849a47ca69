package kinesis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
)

// Limits of the service; sources: the API reference of PutRecords (October 2025)
// and the pricing page.
const (
	// MaxEntries is the highest number of Kinesis records in a PutRecords request.
	MaxEntries = 500
	// MaxKeyLength is the highest length of a partition key, in characters.
	MaxKeyLength = 256
	// PayloadUnit is the step, in bytes, in which provisioned streams charge
	// for what is put.
	PayloadUnit = 25 << 10

	maxRequestBytes    = 10 << 20
	maxRecordBytes     = 10 << 20 // the highest that a stream can be set to
	defaultRecordBytes = 1 << 20  // what a stream is created with
	maxSlots           = 1 << 16
)

// Config describes a Sink. The zero value writes to the streams that the
// records name (Record.Dest), in strict order, one Kinesis record per record,
// with the region and the credentials that the AWS SDK finds by itself.
type Config struct {
	// Stream is the stream of records that name none: a name, or an ARN for
	// streams of other accounts. Default: none, every record must name one.
	Stream string

	// Region is the AWS region. Default: that of Stream's ARN or of an AWS
	// Endpoint, else what the SDK finds (AWS_REGION, shared configuration).
	Region string
	// Endpoint is the URL of the service where it is not AWS's own:
	// an emulator, a proxy, a VPC endpoint.
	Endpoint string
	// AccessKeyID, SecretAccessKey and SessionToken are fixed credentials.
	// Default: the standard chain of the SDK (environment, shared files,
	// SSO, web identity, container, instance role).
	AccessKeyID, SecretAccessKey, SessionToken string
	// Profile is the profile of the shared configuration. Default: AWS_PROFILE
	// or "default".
	Profile string
	// RoleARN is a role to assume with the credentials otherwise meant, and
	// ExternalID what its trust policy may ask for.
	RoleARN, ExternalID string
	// FIPS and DualStack choose AWS's endpoints with validated cryptography,
	// and with IPv6.
	FIPS, DualStack bool
	// CAFile has the authorities, in PEM, that sign the certificate of the
	// service or a proxy. Default: AWS_CA_BUNDLE, else the system's. CertFile
	// and KeyFile are the certificate and key of the client, where one is asked
	// for. All are read again when their contents change.
	CAFile, CertFile, KeyFile string
	// TLS is the ground for connections to the service; nil for the usual.
	TLS *tls.Config
	// AWS is used instead of what the SDK finds by itself; the fields above
	// still override it, except for TLS and its files when it has an HTTPClient
	// of yours.
	AWS *aws.Config
	// Client is used instead of a client of our own; the connection fields
	// above must then be empty. Its retries are not used for puts.
	Client *sdk.Client

	// Ordering says what is given up for the throughput of single keys.
	// Default Strict.
	Ordering Ordering
	// Aggregate packs many records into one Kinesis record, in the format of
	// the Kinesis Producer Library. Consumers must take them apart: see
	// Deaggregate. A record's explicit hash key then only chooses its slot.
	// How long a record may wait for others is the BatchTime of the
	// pipeline's queue, which is 100 ms for such a sink if it is not set.
	Aggregate bool
	// Pack joins records of one key to one Kinesis record that consumers read
	// without a library, such as Lines; see UnpackLines. Records wait for
	// others like those for an aggregate do. It excludes Aggregate.
	Pack Packing
	// AggregateBytes is the size, in bytes, that an aggregate or a packed
	// record is filled up to, 1 KiB to 1 MiB. Default 25 KiB, one PUT payload
	// unit.
	AggregateBytes int
	// Slots is the number of hash slots that keys are aggregated by: a power
	// of two up to 65,536, at least four times the number of shards for even
	// load. It must stay the same while order matters. Default 64.
	Slots int

	// IDs stores the attribute bridge.IDAttr of records with them, so that
	// consumers recognize what was stored twice; see Dedup. In aggregates it is a
	// tag, which other consumers skip; a record by itself is an aggregate, too,
	// then. Otherwise it is the last member, "sluice_id", of data that is a JSON
	// object; other data is stored without, and an object that has such a member of
	// its own is refused. An ID has up to 100 bytes, and costs 8 more.
	IDs bool

	// Compression of each record's data, or of a packed record as a whole,
	// which consumers must undo. Default None.
	Compression Compression

	// IgnoreChannels writes to streams with delivery channels (to Amazon S3 or
	// S3 Tables) also what these cannot read: aggregates, and mostly what is
	// compressed or packed. Otherwise that is refused.
	IgnoreChannels bool

	// MaxRecordBytes is the highest size of a Kinesis record, data and key,
	// up to 10 MiB. Default: what the stream is set to.
	MaxRecordBytes int
	// MaxRequestBytes bounds the data and keys of a request, 1 to 10 MiB.
	// Default 10 MiB.
	MaxRequestBytes int
	// RequestTimeout bounds one request. Default 10 s.
	RequestTimeout time.Duration
	// RefreshInterval is how often a stream's settings and shards are read
	// again. Default 5 min.
	RefreshInterval time.Duration

	// DryRun makes Check also ask the service whether a put would be allowed.
	// Endpoints older than September 2026, and emulators, do not know dry
	// runs and store the record, whose data is "dry run".
	DryRun bool
	// OnReceipt is called with the places of the records of a request that
	// were stored, before their Write returns and concurrently. It must not
	// keep the slice.
	OnReceipt func([]Receipt)
	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
}

// Ordering says how much order is kept per partition key.
type Ordering uint8

const (
	// Strict stores first occurrences of a key's records in order, whatever
	// fails: there is one Kinesis record in flight per key, or per hash slot
	// when aggregating.
	Strict Ordering = iota
	// Relaxed allows several Kinesis records of a key in one request. One of
	// them may fail and be stored after the ones behind it.
	Relaxed
)

// String returns "strict" or "relaxed".
func (o Ordering) String() string {
	if o == Relaxed {
		return "relaxed"
	}
	return "strict"
}

// UnmarshalText reads "strict" or "relaxed".
func (o *Ordering) UnmarshalText(text []byte) error {
	switch string(text) {
	case "strict":
		*o = Strict
	case "relaxed":
		*o = Relaxed
	default:
		return fmt.Errorf("ordering %q is neither strict nor relaxed", text)
	}
	return nil
}

// Receipt reports where a record was stored.
type Receipt struct {
	// Index is the record's place in the batch given to Write.
	Index int
	// Topic and Rule are those of the record.
	Topic, Rule string
	// Stream is the name or ARN that the record was written to.
	Stream         string
	ShardID        string
	SequenceNumber string
	// SubSequence counts the records of an aggregate, from 0; they share
	// their sequence number.
	SubSequence int
}

// Validate reports every field that cannot be used.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("kinesis: Config.%w", &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)}))
	}
	between := func(field string, v, low, high int) {
		if v != 0 && (v < low || v > high) {
			bad(field, "%d is not between %d and %d", v, low, high)
		}
	}
	if c.Stream != "" {
		if _, err := parseStream(c.Stream); err != nil {
			bad("Stream", "%v", err)
		}
	}
	c.connection().Validate(bad)
	if c.Client != nil && c.connects() {
		bad("Client", "a client of your own brings its region, endpoint, credentials and TLS with it")
	}
	if c.Ordering > Relaxed {
		bad("Ordering", "unknown value %d", c.Ordering)
	}
	if c.Compression > Zstd {
		bad("Compression", "unknown value %d", c.Compression)
	}
	switch {
	case c.Pack > Lines:
		bad("Pack", "unknown value %d", c.Pack)
	case c.Pack != NoPacking && c.Aggregate:
		bad("Pack", "packing and aggregation exclude each other")
	}
	between("AggregateBytes", c.AggregateBytes, 1<<10, 1<<20)
	between("Slots", c.Slots, 1, maxSlots)
	if c.Slots > 0 && bits.OnesCount(uint(c.Slots)) != 1 {
		bad("Slots", "%d is not a power of two", c.Slots)
	}
	between("MaxRecordBytes", c.MaxRecordBytes, 1, maxRecordBytes)
	between("MaxRequestBytes", c.MaxRequestBytes, 1<<20, maxRequestBytes)
	if c.RequestTimeout < 0 {
		bad("RequestTimeout", "%v is negative", c.RequestTimeout)
	}
	if c.RefreshInterval < 0 {
		bad("RefreshInterval", "%v is negative", c.RefreshInterval)
	}
	return errors.Join(errs...)
}

// packs reports whether a Kinesis record may hold several records.
func (c Config) packs() bool { return c.Aggregate || c.Pack != NoPacking }

// connects reports whether any field says how to reach the service.
func (c Config) connects() bool {
	c.Stream = "" // which may give a region
	o := c.connection()
	o.Timeout, o.Logger = 0, nil
	return o != awsconn.Options{}
}

func (c Config) withDefaults() Config {
	if c.AggregateBytes == 0 {
		c.AggregateBytes = PayloadUnit
	}
	if c.Slots == 0 {
		c.Slots = 64
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = maxRequestBytes
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 10 * time.Second
	}
	if c.RefreshInterval == 0 {
		c.RefreshInterval = 5 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
