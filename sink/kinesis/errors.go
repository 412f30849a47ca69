package kinesis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/sluiceio/sluice/bridge"
)

// ErrAutoDistribution is why a stream is not written to in strict order or with
// aggregates: its RecordDistributionStrategy is AUTO, so that the service puts
// records into shards regardless of their keys.
var ErrAutoDistribution = errors.New("the stream distributes records regardless of their keys " +
	"(RecordDistributionStrategy AUTO), which destroys order per key and makes consumers drop aggregates: " +
	"set it to PARTITION_KEY, or use relaxed ordering without aggregation")

// Error is why Kinesis did not store a record; find it with errors.As.
type Error struct {
	// Stream is the name or ARN of the stream.
	Stream string
	// Shard is the shard that refused the record, where the service names it.
	Shard string
	// Code is the service's error code, such as
	// "ProvisionedThroughputExceededException"; empty when there was no answer.
	Code string
	// Message is the service's message or what else is known.
	Message string
	// RequestID identifies the request to AWS support.
	RequestID string
	// Hint says in plain words what to do; mostly empty.
	Hint string
	// Err is the error underneath, nil when the service refused a record.
	Err error
}

// Error describes the failure in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("kinesis: stream " + e.Stream)
	if e.Hint != "" {
		b.WriteString(": " + e.Hint)
	}
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

// Unwrap returns the error underneath.
func (e *Error) Unwrap() error { return e.Err }

// class says what an error means for a record.
type class uint8

const (
	transient   class = iota // not stored, will pass by itself
	throttled                // not stored for want of capacity
	ambiguous                // may have been stored
	unavailable              // not stored, an operator has to act
	expired                  // not stored, fresh credentials may help
	rejected                 // not stored, because of what the record holds
)

// classOf is the one table of what the service answers with, and what follows.
// It serves the errors of requests and, without a status, those of records.
func classOf(code string, status int) class {
	switch code {
	case "ProvisionedThroughputExceededException", // the shard is full, or the on-demand stream still grows
		"LimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown",
		"KMSThrottlingException": // the SDK would not retry it, but it passes like the others
		return throttled

	case "InternalFailure", "InternalFailureException", "InternalServerError",
		"ServiceUnavailable", "ServiceUnavailableException":
		return ambiguous // the service may have stored it before it failed to say so

	case "RequestTimeout", "RequestTimeoutException": // the service gave up reading the request
		return transient

	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return expired

	case "ValidationException", "InvalidArgumentException", "SerializationException",
		"RequestEntityTooLarge", "RequestEntityTooLargeException":
		return rejected // one bad record makes the service refuse the whole request

	case "ResourceNotFoundException", // no such stream, or it is being created
		"ResourceInUseException", // being created or deleted; says kinesis-local
		"AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired",
		"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId",
		"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken",
		"KMSDisabledException", "KMSInvalidStateException", "KMSAccessDeniedException",
		"KMSNotFoundException", "KMSOptInRequired",
		"UnknownOperationException":
		return unavailable
	}
	switch {
	case status == 413:
		return rejected
	case status == 429:
		return throttled
	case status >= 300 && status < 500:
		return unavailable // a refusal of the request that we do not know: show it and keep the records
	default:
		return ambiguous // 5xx of a proxy, and codes that we do not know: count the doubt
	}
}

// mark makes err what the pipeline understands.
func (c class) mark(err error) error {
	switch c {
	case throttled:
		return bridge.Throttled(err, 0)
	case ambiguous:
		return bridge.Ambiguous(err)
	case unavailable, expired:
		return bridge.Unavailable(err)
	case rejected:
		return bridge.Permanent(err)
	default:
		return err
	}
}

// requestError describes the failure of a whole request, for which the
// credentials need the permission action; sent tells whether any of its body
// went out.
func (s *Sink) requestError(st *stream, err error, action string, sent bool) (*Error, class) {
	e := &Error{Stream: st.dest, Message: err.Error(), Err: err}
	if re := (*awshttp.ResponseError)(nil); errors.As(err, &re) {
		e.RequestID = re.ServiceRequestID()
	}
	if api := smithy.APIError(nil); errors.As(err, &api) {
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
		e.Shard = shardIn(e.Message)
		c := classOf(e.Code, statusOf(err))
		e.Hint = s.hint(e.Code, action)
		return e, c
	}
	if status := statusOf(err); status != 0 { // an answer that is not Kinesis'
		c := classOf("", status)
		if status >= 300 {
			e.Message = fmt.Sprintf("HTTP status %d", status)
		}
		if c == unavailable {
			e.Hint = s.hint("UnknownOperationException", action)
		}
		return e, c
	}
	if transport := (*url.Error)(nil); errors.As(err, &transport) {
		e.Message = transport.Err.Error() // the rest names the operation and the host once more
	}
	e.Hint = s.connectionHint(err)
	switch {
	case sent:
		return e, ambiguous
	case isOperational(err):
		return e, unavailable
	default:
		return e, transient
	}
}

// recordError describes the failure of one record in a reply.
func (s *Sink) recordError(st *stream, code, message, requestID string) (*Error, class) {
	e := &Error{Stream: st.dest, Shard: shardIn(message), Code: code, Message: message, RequestID: requestID}
	e.Hint = s.hint(code, putAction)
	return e, classOf(code, 0)
}

// isExpired reports whether fresh credentials may cure err.
func isExpired(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && classOf(api.ErrorCode(), 0) == expired
}

// shardIn finds the shard that a throttling message names: "Rate exceeded for
// shard shardId-000000000001 in stream …".
func shardIn(message string) string {
	at := strings.Index(message, "shardId-")
	if at < 0 {
		return ""
	}
	rest := message[at+len("shardId-"):]
	n := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if n < 0 {
		n = len(rest)
	}
	return message[at : at+len("shardId-")+n]
}

func statusOf(err error) int {
	if re := (*awshttp.ResponseError)(nil); errors.As(err, &re) {
		return re.HTTPStatusCode()
	}
	return 0
}

// isOperational reports whether an error from before the request was sent is one
// that only an operator can cure: no credentials, no trust, no such host.
func isOperational(err error) bool {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	return isCredentials(err) || errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &cert) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

// isCredentials recognises the SDK's failure to find or fetch credentials, for
// which it has no type.
func isCredentials(err error) bool { return strings.Contains(err.Error(), "get credentials") }

const putAction = "kinesis:PutRecords"

// hint says in plain words what an answer of the service means.
func (s *Sink) hint(code, action string) string {
	switch code {
	case "ResourceNotFoundException":
		return fmt.Sprintf("there is no such stream in %s, or it is still being created", s.place())
	case "ResourceInUseException":
		return "the stream is being created or deleted"
	case "AccessDeniedException", "AccessDenied", "NotAuthorized":
		return "the credentials do not allow " + action + " on it"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId":
		return "the access key is not known to the service"
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		return "the secret access key is wrong, or this machine's clock is"
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the credentials have expired"
	case "UnknownOperationException":
		return fmt.Sprintf("what answers at %s is not Kinesis", s.place())
	}
	if strings.HasPrefix(code, "KMS") && code != "KMSThrottlingException" {
		return "the stream's encryption key cannot be used"
	}
	return ""
}

// connectionHint says in plain words why there was no answer.
func (s *Sink) connectionHint(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case isCredentials(err):
		return "no usable AWS credentials: set them in the configuration or the environment, or give the machine a role"
	case errors.As(err, &dns):
		return fmt.Sprintf("host %s cannot be resolved: is the region or the endpoint right?", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return s.place() + " refuses connections"
	case errors.As(err, &cert):
		return fmt.Sprintf("the TLS certificate of %s is not trusted", s.place())
	case errors.Is(err, http.ErrSchemeMismatch):
		return s.place() + " does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return s.place() + " did not answer in time"
	}
	return ""
}

// place names where requests go.
func (s *Sink) place() string {
	if s.endpoint != "" {
		return s.endpoint
	}
	return "region " + s.region
}
