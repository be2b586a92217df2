package oxd

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// expectation is what an ID token is held against, beside what every one is.
type expectation struct {
	// nonce is nil where none was sent.
	nonce *string
	// acr are the values asked for; subject is whose it must be. Empty for any.
	acr     []string
	subject string
	// accessToken and code came with it; at_hash and c_hash are of them.
	accessToken, code string
	now               func() time.Time
}

// verified is an ID token that was found good.
type verified struct {
	subject string
	all     map[string]any
}

// issuedLeeway is how far the OP's clock may be ahead.
const issuedLeeway = 5 * time.Minute

// verify judges an ID token (OpenID Connect Core 1.0 section 3.1.3.7). The library
// decides; what it says no to is looked at again only for oxd's code.
func (rc *rpClient) verify(ctx context.Context, raw string, want expectation) (verified, error) {
	clientID := rc.rp.ClientID
	ctx = oidc.ClientContext(ctx, rc.client)
	token, err := rc.oidc.VerifierContext(ctx, &oidc.Config{ClientID: clientID, Now: want.now}).Verify(ctx, raw)
	if err != nil {
		return verified{}, rc.idTokenError(ctx, raw, clientID, err)
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
		ACR             string `json:"acr"`
		CodeHash        string `json:"c_hash"`
		IssuedAt        *any   `json:"iat"`
	}
	out := verified{subject: token.Subject}
	if err := errors.Join(token.Claims(&claims), token.Claims(&out.all)); err != nil {
		return verified{}, fail(CodeIDTokenUnknown, "the id_token's claims are malformed").because(err)
	}
	switch {
	case token.Subject == "":
		return verified{}, fail(CodeIDTokenUnknown, "the id_token has no sub")
	case want.subject != "" && token.Subject != want.subject:
		return verified{}, fail(CodeIDTokenUnknown, "the id_token is of another person")
	case claims.AuthorizedParty != "" && claims.AuthorizedParty != clientID, len(token.Audience) > 1 && claims.AuthorizedParty == "":
		return verified{}, fail(CodeIDTokenBadAudience, "the id_token was issued to another client (azp)")
	case claims.IssuedAt == nil || token.IssuedAt.After(want.now().Add(issuedLeeway)):
		return verified{}, fail(CodeIDTokenUnknown, "the id_token's iat is missing, or lies in the future")
	case want.nonce != nil && subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(*want.nonce)) != 1:
		return verified{}, fail(CodeIDTokenBadNonce, "the id_token's nonce is not the one of this login")
	case !rc.acceptable(claims.ACR, want.acr):
		return verified{}, fail(CodeIDTokenUnknown, "the id_token's acr is not one of acr_values: the person did not log in that way")
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(want.accessToken); err != nil {
			return verified{}, fail(CodeAccessTokenBadHash, "the access_token is not the one of the id_token (at_hash)").because(err)
		}
	}
	if claims.CodeHash != "" && want.code != "" {
		// c_hash is made of the code as at_hash is of the token (section 3.3.2.11).
		ofCode := *token
		ofCode.AccessTokenHash = claims.CodeHash
		if err := ofCode.VerifyAccessToken(want.code); err != nil {
			return verified{}, fail(CodeIDTokenUnknown, "the code is not the one of the id_token (c_hash)").because(err)
		}
	}
	return out, nil
}

// acceptable judges acr (section 3.1.3.7 number 12). An OP that lists its values,
// and none of those asked for, cannot be held to them.
func (rc *rpClient) acceptable(acr string, asked []string) bool {
	known := rc.metadata.ACRValues
	switch {
	case len(asked) == 0, slices.Contains(asked, acr):
		return true
	case len(known) > 0:
		return len(intersect(asked, known)) == 0
	default:
		return acr == ""
	}
}

// idTokenError is the error, with its code, for an ID token that was refused because of cause.
func (rc *rpClient) idTokenError(ctx context.Context, raw, clientID string, cause error) *Error {
	if _, ok := errors.AsType[*oidc.TokenExpiredError](cause); ok {
		return fail(CodeIDTokenExpired, "the id_token has expired").because(cause)
	}
	// Signature alone: if that is what is wrong, nothing else can be believed.
	token, err := rc.oidc.VerifierContext(ctx, &oidc.Config{SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true}).Verify(ctx, raw)
	switch {
	case err != nil:
		return fail(CodeIDTokenBadSignature, "the id_token's signature is not of the OP's keys and algorithms").because(err)
	case token.Issuer != rc.op.Issuer:
		return fail(CodeIDTokenBadIssuer, "the id_token is of another issuer").because(cause)
	case !slices.Contains(token.Audience, clientID):
		return fail(CodeIDTokenBadAudience, "the id_token is for another client").because(cause)
	default:
		return fail(CodeIDTokenUnknown, "the id_token is not valid").because(cause)
	}
}
