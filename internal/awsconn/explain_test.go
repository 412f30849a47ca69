package awsconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
)

// answered is what the SDK makes of an answer without a code of the service.
func answered(status int, header http.Header) error {
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: header}},
		Err:      &smithy.DeserializationError{Err: errors.New("invalid character '<'")},
	}}
}

func coded(code, message string) error {
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}}},
		Err:      &smithy.GenericAPIError{Code: code, Message: message},
	}}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	p := Place{Service: "Kinesis", Region: "eu-west-1", Endpoint: "https://gate"}
	to := http.Header{"Location": {"https://elsewhere.example.com/path?secret=1"}}
	dial := func(err error) error { return &url.Error{Op: "Post", Err: &net.OpError{Op: "dial", Err: err}} }
	for _, tc := range []struct {
		err   error
		class Class
		hint  string
	}{
		{answered(301, to), Unavailable, "https://gate redirects to https://elsewhere.example.com, which a signed request cannot follow"},
		{answered(307, nil), Unavailable, "redirects elsewhere"},
		{answered(407, nil), Unavailable, "HTTPS_PROXY"},
		{answered(403, nil), Suspect, "proxy or firewall"},
		{answered(401, nil), Unavailable, "is not Kinesis"},
		{answered(404, nil), Unavailable, "what answers at https://gate is not Kinesis"},
		{answered(413, nil), TooLarge, "too large"},
		{answered(429, nil), Throttled, ""},
		{answered(502, nil), Ambiguous, "did not get an answer of Kinesis"},
		{answered(504, nil), Ambiguous, "proxy or load balancer"},
		{answered(500, nil), Ambiguous, ""},
		{answered(200, nil), Ambiguous, "what answers is not Kinesis"},
		{coded("UnknownError", ""), Suspect, "is not Kinesis"},
		{coded("InvalidSignatureException", "The request signature we calculated does not match the signature you provided."), Unavailable, "secret access key is wrong"},
		{coded("InvalidSignatureException", "Signature expired: 20261126T000000Z is now earlier than …"), Unavailable, "clock is wrong"},
		{coded("InvalidSignatureException", "Signature not yet current: …"), Unavailable, "clock is wrong"},
		{coded("InvalidSignatureException", "Credential should be scoped to a valid region, not 'us-east-1'."), Unavailable, "signed for region eu-west-1"},
		{coded("MissingAuthenticationTokenException", "Missing Authentication Token"), Unavailable, "removes the header"},
		{coded("AccessDeniedException", ""), Unavailable, "do not allow kinesis:PutRecords"},
		{coded("UnrecognizedClientException", ""), Expired, "not known"},
		{coded("InvalidClientTokenId", ""), Expired, "not known"},
		{coded("ExpiredTokenException", ""), Expired, "have expired"},
		{coded("ValidationException", ""), Rejected, ""},
		{coded("BrandNewException", ""), Suspect, ""},
		{coded("InvalidKMSResourceException", ""), Unavailable, "encryption key"},
		{&smithy.OperationError{ServiceID: "Kinesis", Err: fmt.Errorf("get identity: %w", &smithy.OperationError{ServiceID: "STS", Err: coded("AccessDenied", "no")})}, Unavailable, "may not assume the role"},
		{&smithy.OperationError{ServiceID: "Kinesis", Err: &smithy.OperationError{ServiceID: "STS", Err: coded("ValidationError", "no")}}, Unavailable, "role cannot be assumed"},
		{&smithy.OperationError{ServiceID: "Kinesis", Err: &smithy.OperationError{ServiceID: "STS", Err: coded("InvalidClientTokenId", "no")}}, Expired, "that are to assume the role"},
		{dial(&net.DNSError{Name: "kinesis.nowhere", IsNotFound: true}), Unavailable, "host kinesis.nowhere cannot be resolved"},
		{dial(syscall.ECONNREFUSED), Transient, "refuses connections"},
		{dial(&tls.CertificateVerificationError{Err: errors.New("x")}), Unavailable, "not trusted"},
		{dial(tls.AlertError(42)), Transient, "client's certificate"},
		{dial(http.ErrSchemeMismatch), Unavailable, "does not speak TLS"},
		{dial(context.DeadlineExceeded), Transient, "did not answer in time"},
		{errors.New("failed to get credentials"), Unavailable, "no usable AWS credentials"},
	} {
		f := p.Explain(tc.err, "kinesis:PutRecords", false)
		require.Equal(t, tc.class, f.Class, "%v", tc.err)
		if tc.hint == "" {
			require.Empty(t, f.Hint, "%v", tc.err)
		}
		require.Contains(t, f.Hint, tc.hint)
		require.NotContains(t, f.Hint, "secret=")
	}
	require.Equal(t, Ambiguous, p.Explain(dial(syscall.ECONNRESET), "", true).Class)
}

func TestClassOfRecord(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]Class{
		"ProvisionedThroughputExceededException": Throttled,
		"InternalFailure":                        Ambiguous,
		"ValidationException":                    Rejected,
		"KMSThrottlingException":                 Throttled,
		"KMSNewException":                        Unavailable,
		"BrandNewException":                      Ambiguous,
		"NewThrottlingException":                 Throttled,
		"ShardRateExceeded":                      Throttled,
		"InternalNewError":                       Ambiguous,
		"StorageFailure":                         Ambiguous,
	} {
		require.Equal(t, want, ClassOfRecord(code), code)
	}
}
