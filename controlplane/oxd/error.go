package oxd

import (
	"errors"
	"fmt"
)

// Code is an error code of oxd, as "error" of the envelope has it.
type Code string

// The codes. Their spelling is oxd's.
const (
	CodeInternal               Code = "internal_error"
	CodeBadRequest             Code = "bad_request"
	CodeInvalidRequest         Code = "invalid_request"
	CodeUnsupportedOperation   Code = "unsupported_operation"
	CodeInvalidOxdID           Code = "invalid_oxd_id"
	CodeInvalidOPHost          Code = "invalid_op_host"
	CodeInvalidRedirectURI     Code = "invalid_authorization_redirect_uri"
	CodeInvalidScope           Code = "invalid_scope"
	CodeInvalidAlgorithm       Code = "invalid_algorithm"
	CodeNoConnectDiscovery     Code = "no_connect_discovery_response"
	CodeNoUMADiscovery         Code = "no_uma_discovery_response"
	CodeInvalidRegistrationURL Code = "invalid_registration_client_url"
	CodeNoIDToken              Code = "no_id_token"
	CodeNoAccessToken          Code = "no_access_token"
	CodeIDTokenBadNonce        Code = "invalid_id_token_bad_nonce"
	CodeIDTokenBadAudience     Code = "invalid_id_token_bad_audience"
	CodeIDTokenExpired         Code = "invalid_id_token_expired"
	CodeIDTokenBadIssuer       Code = "invalid_id_token_bad_issuer"
	CodeIDTokenBadSignature    Code = "invalid_id_token_bad_signature"
	CodeIDTokenUnknown         Code = "invalid_id_token_unknown"
	CodeAccessTokenBadHash     Code = "invalid_access_token_bad_hash"
	CodeInvalidUMARequest      Code = "invalid_uma_request"
	CodeMethodNotUnique        Code = "http_method_not_unique"
	CodeInvalidScopeExpression Code = "invalid_scope_expressioin"
	CodeUMAProtectionExists    Code = "uma_protection_exists"
	CodeInvalidHTTPMethod      Code = "invalid_http_method"
	CodeInvalidPath            Code = "invalid_path_parameter"
	CodeInvalidTicketParameter Code = "invalid_ticket_parameter"
	CodeInvalidTicket          Code = "invalid_ticket"
	CodeInvalidRPT             Code = "invalid_rpt_parameter"
	CodeInvalidClaimToken      Code = "invalid_claim_token_or_claim_token_form"
	CodeInvalidClaimsRedirect  Code = "invalid_claims_redirect_uri_parameter"
	CodeNeedInfo               Code = "need_info"
	CodeNoEndSession           Code = "no_end_session_endpoint_at_op"
	CodeRemoveSiteFailed       Code = "remove_site_failed"
	CodeBlankProtection        Code = "blank_protection_access_token"
	CodeInvalidProtection      Code = "invalid_protection_access_token"
	CodeInactiveProtection     Code = "inactive_protection_access_token"
	CodeInsufficientProtection Code = "protection_access_token_insufficient_scope"
	CodeNoSetupClient          Code = "no_setup_client_for_oxd_id"
)

// CodeHTTPStatus is the code for an OP or AS that answered status.
func CodeHTTPStatus(status int) Code { return Code(fmt.Sprintf("http_status_%d", status)) }

// Error is a failed command. Its code, description and details go to the client,
// the cause goes to the log only.
type Error struct {
	Code        Code
	Description string
	// Details is the AS's object of a need_info; nil is written as null.
	Details any
	Cause   error
}

// Error has all three: it is for the log.
func (e *Error) Error() string {
	s := "oxd: " + string(e.Code)
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// fail makes an error that the client is told as it stands.
func fail(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...)}
}

// because adds the cause, for the log.
func (e *Error) because(err error) *Error {
	e.Cause = err
	return e
}

// errInternal is what a client is told of a failure that has no code.
const errInternal = "umagate failed to do this. Its log says why."

// asError returns the [Error] in err, or an internal_error with err as its cause.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeInternal, Description: errInternal, Cause: err}
}
