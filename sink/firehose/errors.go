package firehose

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/sluiceio/sluice/bridge"
)

// recordError describes the failure of one record of an accepted request.
func recordError(stream, code, message string) error {
	return mark(code, 0, fmt.Errorf("firehose: stream %s: %s: %s", stream, code, message))
}

// requestError describes the failure of a whole request.
func requestError(stream string, err error) error {
	status := 0
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return mark(api.ErrorCode(), status, fmt.Errorf("firehose: stream %s: %s%s: %s", stream, hint(api.ErrorCode()), api.ErrorCode(), api.ErrorMessage()))
	}
	if status != 0 {
		return mark("", status, fmt.Errorf("firehose: stream %s: what answers is not Firehose: HTTP status %d", stream, status))
	}
	var transport *url.Error
	if errors.As(err, &transport) {
		err = transport.Err
	}
	wrapped := fmt.Errorf("firehose: stream %s: %w", stream, err)
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case strings.Contains(err.Error(), "get credentials"): // for which the SDK has no type
		return bridge.Unavailable(wrapped)
	case errors.As(err, &dns), errors.As(err, &op) && op.Op == "dial":
		return wrapped // nothing was sent
	default:
		return bridge.Ambiguous(wrapped)
	}
}

// mark says what an answer means for the records.
func mark(code string, status int, err error) error {
	switch code {
	case "ServiceUnavailableException", "ServiceUnavailable", // how Firehose says that the stream's limits are exceeded
		"LimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown":
		return bridge.Throttled(err, 0)
	case "InternalFailure", "InternalFailureException", "InternalServerError":
		return bridge.Ambiguous(err)
	case "InvalidArgumentException", "ValidationException", "SerializationException":
		return bridge.Permanent(err)
	}
	switch {
	case status == 429:
		return bridge.Throttled(err, 0)
	case status == 413:
		return bridge.Permanent(err)
	case status >= 300 && status < 500:
		return bridge.Unavailable(err) // no such stream, no permission, a key that cannot be used
	default:
		return bridge.Ambiguous(err)
	}
}

// hint says in plain words what an error code means.
func hint(code string) string {
	switch code {
	case "ResourceNotFoundException":
		return "there is no such delivery stream in the region: "
	case "AccessDeniedException", "AccessDenied":
		return "the credentials do not allow it: "
	case "InvalidSourceException":
		return "the stream takes no direct puts, since it reads from elsewhere: "
	case "InvalidKMSResourceException":
		return "the stream's encryption key cannot be used: "
	case "UnrecognizedClientException", "InvalidClientTokenId":
		return "the access key is not known to the service: "
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		return "the secret access key is wrong, or this machine's clock is: "
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the credentials have expired: "
	}
	return ""
}
