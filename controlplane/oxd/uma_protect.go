package oxd

import (
	"context"
	"errors"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/store"
)

type protectParams struct {
	SiteParams

	Overwrite bool                `json:"overwrite"`
	Resources protection.Document `json:"resources"`
}

// protect registers the resources at the AS and lets Envoy enforce them.
func (s *resources) protect(ctx context.Context, c *Call, p protectParams) (idResult, error) {
	if err := p.Resources.Validate(); err != nil {
		return idResult{}, documentFailure(err)
	}
	replace := func(before *store.Protection) (protection.Document, error) {
		if before != nil && before.Settled && !p.Overwrite {
			return nil, fail(CodeUMAProtectionExists, "this oxd_id protects resources already: send overwrite with true to replace them")
		}
		return p.Resources, nil
	}
	return idResult{OxdID: c.RP.ID}, s.setProtection(ctx, c, p.Overwrite, replace)
}

type modifyParams struct {
	SiteParams

	Path       string                 `json:"path"`
	HTTPMethod string                 `json:"http_method"`
	Scopes     Strings                `json:"scopes"`
	Expression *protection.Expression `json:"scope_expression"`
}

func (p modifyParams) checkFirst() error {
	return accessParams{Path: p.Path, HTTPMethod: p.HTTPMethod}.checkFirst()
}

// modify changes what one condition asks for.
func (s *resources) modify(ctx context.Context, c *Call, p modifyParams) (idResult, error) {
	if !p.Scopes.given() && p.Expression == nil {
		return idResult{}, fail(CodeInvalidUMARequest, "neither scopes nor scope_expression is there")
	}
	change := func(before *store.Protection) (protection.Document, error) {
		if before == nil {
			return nil, notProtected()
		}
		d, err := protection.Parse(before.Document)
		if err != nil {
			return nil, err
		}
		condition, ok := d.Find(p.Path, p.HTTPMethod)
		if !ok {
			return nil, notProtected()
		}
		condition.Scopes, condition.TicketScopes, condition.Expression = p.Scopes.clean(), nil, p.Expression
		if err := d.Validate(); err != nil {
			return nil, documentFailure(err)
		}
		return d, nil
	}
	return idResult{OxdID: c.RP.ID}, s.setProtection(ctx, c, true, change)
}

// documentFailure returns the code of a document's fault.
func documentFailure(err error) *Error {
	code := CodeInvalidUMARequest
	for _, row := range []struct {
		kind error
		code Code
	}{
		{protection.ErrMethodNotUnique, CodeMethodNotUnique},
		{protection.ErrExpression, CodeInvalidScopeExpression},
		{protection.ErrMethod, CodeInvalidHTTPMethod},
		{protection.ErrPath, CodeInvalidPath},
		{protection.ErrScopes, CodeInvalidScope},
	} {
		if errors.Is(err, row.kind) {
			code = row.code
		}
	}
	return &Error{Code: code, Description: err.Error()}
}

// protectFailure returns the error of registrations at the AS.
func protectFailure(err error) *Error {
	if errors.Is(err, reconcile.ErrOtherSite) {
		return fail(CodeUMAProtectionExists, "another oxd_id, or a site, of the same client has resources of these names at the AS, which stay with it until it is removed: use that one, or another client").because(err)
	}
	if errors.Is(err, reconcile.ErrConflict) || errors.Is(err, reconcile.ErrAmbiguous) || errors.Is(err, as.ErrConflict) {
		return fail(CodeUMAProtectionExists, "the client has resources of these names at the AS that were not registered here: send overwrite with true to take them over").because(err)
	}
	return opFailure(err, "the AS does not register the resources")
}
