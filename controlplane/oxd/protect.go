package oxd

import (
	"context"

	"github.com/umagate/umagate/controlplane/secret"
)

// Caller is who a protection token was given to: a setup client.
type Caller struct {
	// Setup is its RP.
	Setup *RP
	// Scopes are the token's.
	Scopes []string
}

// admit loads the RP that the parameters name, and checks the protection token.
func (s *Server) admit(ctx context.Context, c *Call, params any, protection secret.Text) error {
	named, ok := params.(ofSite)
	if ok && !s.config.Protect {
		var err error
		c.RP, err = s.loadRP(ctx, named.oxdID())
		return err
	}
	if ok {
		rp, err := s.loadRP(ctx, named.oxdID())
		if err != nil {
			return err
		}
		c.RP = rp
	}
	return nil
}
