package kinesistest

import (
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// Codes of the service's errors, for faults and for comparing.
const (
	CodeAccessDenied        = "AccessDeniedException"
	CodeDryRun              = "DryRunOperationException"
	CodeExpiredIterator     = "ExpiredIteratorException"
	CodeExpiredNextToken    = "ExpiredNextTokenException"
	CodeExpiredToken        = "ExpiredTokenException"
	CodeInternalFailure     = "InternalFailure"
	CodeInvalidArgument     = "InvalidArgumentException"
	CodeKMSAccessDenied     = "KMSAccessDeniedException"
	CodeKMSDisabled         = "KMSDisabledException"
	CodeKMSInvalidState     = "KMSInvalidStateException"
	CodeKMSNotFound         = "KMSNotFoundException"
	CodeKMSOptInRequired    = "KMSOptInRequired"
	CodeKMSThrottling       = "KMSThrottlingException"
	CodeLimitExceeded       = "LimitExceededException"
	CodeMissingToken        = "MissingAuthenticationTokenException"
	CodeResourceInUse       = "ResourceInUseException"
	CodeResourceNotFound    = "ResourceNotFoundException"
	CodeSerialization       = "SerializationException"
	CodeServiceUnavailable  = "ServiceUnavailable"
	CodeThroughputExceeded  = "ProvisionedThroughputExceededException"
	CodeThrottling          = "ThrottlingException"
	CodeUnknownOperation    = "UnknownOperationException"
	CodeValidationException = "ValidationException"
)

// Error is an error the service answers with. errors.As also finds the SDK's
// own type in it, such as *types.ResourceNotFoundException.
type Error struct {
	Code    string
	Message string
	Status  int // HTTP status
}

var _ smithy.APIError = (*Error)(nil)

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// ErrorCode implements smithy.APIError.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage implements smithy.APIError.
func (e *Error) ErrorMessage() string { return e.Message }

// ErrorFault implements smithy.APIError.
func (e *Error) ErrorFault() smithy.ErrorFault {
	if e.Status >= 500 {
		return smithy.FaultServer
	}
	return smithy.FaultClient
}

// Unwrap returns the SDK's type for the error, nil when it has none.
func (e *Error) Unwrap() error {
	m := &e.Message
	switch e.Code {
	case CodeAccessDenied:
		return &types.AccessDeniedException{Message: m}
	case CodeDryRun:
		return &types.DryRunOperationException{Message: m}
	case CodeExpiredIterator:
		return &types.ExpiredIteratorException{Message: m}
	case CodeExpiredNextToken:
		return &types.ExpiredNextTokenException{Message: m}
	case CodeInternalFailure:
		return &types.InternalFailureException{Message: m}
	case CodeInvalidArgument:
		return &types.InvalidArgumentException{Message: m}
	case CodeKMSAccessDenied:
		return &types.KMSAccessDeniedException{Message: m}
	case CodeKMSDisabled:
		return &types.KMSDisabledException{Message: m}
	case CodeKMSInvalidState:
		return &types.KMSInvalidStateException{Message: m}
	case CodeKMSNotFound:
		return &types.KMSNotFoundException{Message: m}
	case CodeKMSOptInRequired:
		return &types.KMSOptInRequired{Message: m}
	case CodeKMSThrottling:
		return &types.KMSThrottlingException{Message: m}
	case CodeLimitExceeded:
		return &types.LimitExceededException{Message: m}
	case CodeThroughputExceeded:
		return &types.ProvisionedThroughputExceededException{Message: m}
	case CodeResourceInUse:
		return &types.ResourceInUseException{Message: m}
	case CodeResourceNotFound:
		return &types.ResourceNotFoundException{Message: m}
	case CodeValidationException:
		return &types.ValidationException{Message: m}
	}
	return nil
}

// clientError is an answer with status 400.
func clientError(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

func invalidArgument(format string, args ...any) *Error {
	return clientError(CodeInvalidArgument, format, args...)
}

// statusOf is the HTTP status that goes with a code.
func statusOf(code string) int {
	switch code {
	case CodeInternalFailure:
		return http.StatusInternalServerError
	case CodeServiceUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}
