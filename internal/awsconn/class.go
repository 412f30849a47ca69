package awsconn

import "strings"

// Class says what a failure means for the records of a request.
type Class uint8

// The classes of failures.
const (
	Transient   Class = iota // not stored, will pass by itself
	Throttled                // not stored for want of capacity
	Ambiguous                // may have been stored
	Unavailable              // not stored, an operator has to act
	Expired                  // not stored, fresh credentials may help
	Rejected                 // not stored, because of what a record holds
	Suspect                  // not stored, perhaps because of what a record holds
	TooLarge                 // not stored, the request is too large for something on its way
)

// ClassOf is the one table of what a service answers a request with, and what
// follows. The code is empty for an answer that is not the service's own.
func ClassOf(code string, status int) Class {
	if c, ok := classOfCode(code); ok {
		return c
	}
	switch {
	case status == 413:
		return TooLarge
	case status == 429:
		return Throttled
	case status == 408:
		return Ambiguous // of a proxy, which may have passed it on
	case status >= 300 && status < 400, status == 407, code == "" && (status == 401 || status == 404 || status == 405):
		return Unavailable // it did not get to the service
	case status >= 400 && status < 500:
		return Suspect
	default:
		return Ambiguous // 5xx of a proxy, and codes that we do not know: count the doubt
	}
}

// ClassOfRecord is ClassOf for the code of one record of a request that was
// accepted. A record with a code that nobody knows waits, and its key with it, for
// whoever can tell what it means: it is not for us to give it up.
func ClassOfRecord(code string) Class {
	if c, ok := classOfCode(code); ok {
		return c
	}
	for _, w := range []struct {
		word  string
		class Class
	}{
		{"Thrott", Throttled},
		{"Exceeded", Throttled},
		{"TooMany", Throttled},
		{"KMS", Unavailable},
		{"Denied", Unavailable},
		{"Unauthorized", Unavailable},
		{"NotFound", Unavailable},
		{"Internal", Ambiguous},
		{"Unavailable", Ambiguous},
		{"Timeout", Ambiguous},
		{"Failure", Ambiguous},
	} {
		if strings.Contains(code, w.word) {
			return w.class
		}
	}
	return Ambiguous
}

func classOfCode(code string) (Class, bool) {
	switch code {
	case "ProvisionedThroughputExceededException", // the shard is full, or the on-demand stream still grows
		"LimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown",
		"KMSThrottlingException": // the SDK would not retry it, but it passes like the others
		return Throttled, true

	case "InternalFailure", "InternalFailureException", "InternalServerError",
		"ServiceUnavailable", "ServiceUnavailableException":
		return Ambiguous, true // the service may have stored it before it failed to say so

	case "RequestTimeout", "RequestTimeoutException": // the service gave up reading the request
		return Transient, true

	case "ExpiredToken", "ExpiredTokenException", "RequestExpired",
		// What the service says of credentials that were replaced or deleted.
		"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId":
		return Expired, true

	case "ValidationException", "InvalidArgumentException", "SerializationException":
		return Rejected, true // one bad record makes the service refuse the whole request

	case "RequestEntityTooLarge", "RequestEntityTooLargeException":
		return TooLarge, true

	case "ResourceNotFoundException", // no such stream, or it is being created
		"ResourceInUseException",                                // being created or deleted; says kinesis-local
		"InvalidSourceException", "InvalidKMSResourceException", // of Firehose
		"AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired",
		"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException",
		"KMSDisabledException", "KMSInvalidStateException", "KMSAccessDeniedException",
		"KMSNotFoundException", "KMSOptInRequired",
		"UnknownOperationException":
		return Unavailable, true
	}
	return 0, false
}
