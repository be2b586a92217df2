package as

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/umagate/umagate/plugin/config"
)

// Protection is the protection API of an AS with a PAT: resource registration
// and permission requests (UMA Federated Authorization sections 3 and 4). A PAT
// that the AS refuses is renewed once, and the call made again. Safe for
// concurrent use.
type Protection struct {
	server *Server
	pats   *PATSource
}

// Protection joins the AS with a PAT.
func (s *Server) Protection(pats *PATSource) *Protection {
	return &Protection{server: s, pats: pats}
}

// do makes the call with the PAT, and again while it collides.
func (p *Protection) do(ctx context.Context, in call, target any) (answer, error) {
	return p.server.apart(ctx, func() (answer, error) { return p.once(ctx, in, target) })
}

func (p *Protection) once(ctx context.Context, in call, target any) (answer, error) {
	in.kinds = map[int]error{}
	for _, status := range p.server.dialect.PATRefused {
		in.kinds[status] = ErrPATRefused
	}
	token, err := p.pats.Token(ctx)
	if err != nil {
		return answer{}, err
	}
	for attempt := 0; ; attempt++ {
		in.bearer = token.Value
		var out answer
		if target == nil {
			out, err = p.server.caller.do(ctx, in)
		} else {
			out, err = p.server.caller.doJSON(ctx, in, target)
		}
		if attempt > 0 || !errors.Is(err, ErrPATRefused) {
			return out, err
		}
		next, renewErr := p.pats.Refused(ctx, token.Value)
		if renewErr != nil {
			return out, errors.Join(err, renewErr)
		}
		token = next
	}
}

// Permission asks for a permission ticket (UMA Federated Authorization section
// 4). The body is an array always: that is what every AS takes.
func (p *Protection) Permission(ctx context.Context, permissions []config.Permission) (string, error) {
	in := call{
		operation: OperationPermission, op: "request a permission ticket", method: http.MethodPost, url: p.server.metadata.PermissionEndpoint,
		json: slices.Clone(permissions),
	}
	var got struct {
		Ticket string `json:"ticket"`
	}
	out, err := p.do(ctx, in, &got)
	if err != nil {
		return "", err
	}
	if got.Ticket == "" {
		return "", in.malformed(out, "ticket is missing")
	}
	return got.Ticket, nil
}
