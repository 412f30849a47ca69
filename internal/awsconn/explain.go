package awsconn

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

	"github.com/sluiceio/sluice/internal/redact"
)

// Place is where requests go, for texts.
type Place struct {
	Service  string // such as "Kinesis"
	Region   string
	Endpoint string // empty for AWS's own
}

// String names the place.
func (p Place) String() string {
	if p.Endpoint != "" {
		return redact.URL(p.Endpoint)
	}
	return "region " + p.Region
}

// Failure is the failure of a request in parts.
type Failure struct {
	Class     Class
	Code      string // of the service, or of that for credentials; empty when it gave none
	Message   string
	RequestID string
	Hint      string // what it means in plain words; mostly empty
}

// Explain says what the failure of a request means. The credentials need the
// permission action for it; sent reports whether all of the request may have gone
// out: nobody can act on a part of one.
func (p Place) Explain(err error, action string, sent bool) Failure {
	f := p.explain(err, action, sent)
	f.Code, f.RequestID = Short(f.Code), Short(f.RequestID)
	f.Message = Short(redact.Of(p.Endpoint).Text(f.Message))
	return f
}

func (p Place) explain(err error, action string, sent bool) Failure {
	f := Failure{Message: err.Error()}
	answer := (*awshttp.ResponseError)(nil)
	status := 0
	if errors.As(err, &answer) {
		f.RequestID, status = answer.ServiceRequestID(), answer.HTTPStatusCode()
	}
	api := smithy.APIError(nil)
	// The SDK calls an answer "UnknownError" in which it finds no code.
	if errors.As(err, &api) && api.ErrorCode() != "" && api.ErrorCode() != "UnknownError" {
		f.Code, f.Message = api.ErrorCode(), api.ErrorMessage()
		f.Class = ClassOf(f.Code, status)
		if isOfSTS(err) {
			f.Hint = hintOfSTS(f.Code)
			if f.Class != Expired && f.Class != Throttled {
				f.Class = Unavailable // that of the request, which was not made
			}
			return f
		}
		f.Hint = p.Hint(f.Code, f.Message, action)
		return f
	}
	if status != 0 {
		f.Class = ClassOf("", status)
		if status >= 300 {
			f.Message = fmt.Sprintf("HTTP status %d", status)
		}
		f.Hint = p.hintOfStatus(status, answer.HTTPResponse().Header)
		return f
	}
	if transport := (*url.Error)(nil); errors.As(err, &transport) {
		f.Message = transport.Err.Error() // the rest names the operation and the host once more
	}
	f.Hint = p.hintOfConnection(err)
	switch {
	case sent:
		f.Class = Ambiguous
	case isOperational(err):
		f.Class = Unavailable
	}
	return f
}

// Hint says in plain words what an error code of the service means.
func (p Place) Hint(code, message, action string) string {
	switch code {
	case "AccessDeniedException", "AccessDenied", "NotAuthorized":
		return "the credentials do not allow " + action + " on it"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId":
		return "the access key is not known to the service"
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		return p.hintOfSignature(message)
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "the credentials have expired"
	case "MissingAuthenticationToken", "MissingAuthenticationTokenException":
		return "the request came without its signature: a proxy on the way removes the header Authorization"
	case "RequestEntityTooLarge", "RequestEntityTooLargeException":
		return tooLarge
	case "UnknownOperationException":
		return fmt.Sprintf("what answers at %s is not %s", p, p.Service)
	}
	if strings.Contains(code, "KMS") && code != "KMSThrottlingException" {
		return "the stream's encryption key cannot be used"
	}
	return ""
}

// hintOfSignature tells the three ways apart in which a signature is wrong.
func (p Place) hintOfSignature(message string) string {
	switch {
	case strings.Contains(message, "Signature expired"), strings.Contains(message, "not yet current"):
		return "this machine's clock is wrong"
	case strings.Contains(message, "scoped to"):
		return fmt.Sprintf("requests are signed for region %s, which is not that of the endpoint: set the region", p.Region)
	}
	return "the secret access key is wrong, or this machine's clock is, or a proxy changes requests on their way"
}

const tooLarge = "the request is too large for the service, or for a proxy or gateway on the way"

func (p Place) hintOfStatus(status int, head http.Header) string {
	switch {
	case status >= 300 && status < 400:
		to := "elsewhere"
		if u, err := url.Parse(head.Get("Location")); err == nil && u.Host != "" {
			to = fmt.Sprintf("to %.200s://%.200s", u.Scheme, u.Host)
		}
		return fmt.Sprintf("%s redirects %s, which a signed request cannot follow: set the endpoint to where %s is", p, to, p.Service)
	case status == http.StatusProxyAuthRequired:
		return "a proxy on the way asks for a user and a password: give them in HTTPS_PROXY, as in http://user:password@host:port"
	case status == http.StatusForbidden:
		return "a proxy or firewall on the way forbids the request"
	case status == http.StatusRequestEntityTooLarge:
		return tooLarge
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return "a proxy or load balancer on the way did not get an answer of " + p.Service
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return ""
	case status < 300:
		return "what answers is not " + p.Service + ", or its reply was cut off"
	}
	return fmt.Sprintf("what answers at %s is not %s", p, p.Service)
}

// hintOfConnection says why there was no answer.
func (p Place) hintOfConnection(err error) string {
	var proxy *ProxyError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case isCredentials(err):
		return "no usable AWS credentials: set them in the configuration or the environment, or give the machine a role"
	case errors.As(err, &proxy):
		return p.hintOfStatus(proxy.Status, nil)
	case errors.As(err, &dns):
		return fmt.Sprintf("host %s cannot be resolved: is the region or the endpoint right?", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return p.String() + " refuses connections"
	case errors.As(err, &cert):
		return fmt.Sprintf("the TLS certificate of %s is not trusted", p)
	case errors.As(err, &alert):
		return p.String() + " refuses the TLS handshake, perhaps for the client's certificate"
	case errors.Is(err, http.ErrSchemeMismatch):
		return p.String() + " does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return p.String() + " did not answer in time"
	}
	return ""
}

// isOperational reports whether an error from before the request was sent is one
// that only an operator can cure: no credentials, no trust, no such host.
func isOperational(err error) bool {
	var proxy *ProxyError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	return isCredentials(err) || errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &cert) ||
		errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &proxy) && proxy.Status < 500
}

// IsUnsent reports whether an error without an answer is from before a request was
// sent. Others leave its outcome open.
func IsUnsent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var alert tls.AlertError
	return isOperational(err) || errors.As(err, new(*ProxyError)) || errors.As(err, &dns) || errors.As(err, &alert) ||
		errors.As(err, &op) && op.Op == "dial"
}

// isCredentials recognizes the SDK's failure to find or fetch credentials, for
// which it has no type.
func isCredentials(err error) bool { return strings.Contains(err.Error(), "get credentials") }

// IsExpired reports whether fresh credentials may cure err.
func IsExpired(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && ClassOf(api.ErrorCode(), 0) == Expired
}

// IsDenied reports whether the service knows the credentials and does not allow
// them the call.
func IsDenied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "AccessDeniedException" || api.ErrorCode() == "AccessDenied") && !isOfSTS(err)
}

// isOfSTS reports whether err comes from the service that assumes roles.
func isOfSTS(err error) bool {
	for op := (*smithy.OperationError)(nil); errors.As(err, &op); err = op.Err {
		if op.ServiceID == "STS" {
			return true
		}
	}
	return false
}

func hintOfSTS(code string) string {
	switch c, _ := classOfCode(code); {
	case code == "AccessDenied" || code == "AccessDeniedException":
		return "the credentials may not assume the role: see its trust policy, the external id, and the permission sts:AssumeRole"
	case c == Expired:
		return "the credentials that are to assume the role have expired or are not known"
	case code == "RegionDisabledException":
		return "STS is not activated in the region: an administrator of the account can activate it"
	}
	return "the role cannot be assumed"
}
