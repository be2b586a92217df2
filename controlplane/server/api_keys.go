package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/tokenkey"
)

// keyOperations publish what an AS needs to know of a site's client.
func (s *controlPlane) keyOperations() []api.Operation {
	return []api.Operation{{
		ID: "getClientKeys", Method: http.MethodGet, Path: "/v1/sites/{site}/jwks.json", Tag: "keys", Role: api.Open,
		Summary:     "The public keys of a site's client, for its authorization server",
		Description: "The JWK Set (RFC 7517 section 5) of the keys that umagate makes for the client: what jwks_uri is to be at the authorization server.",
		Codes:       []api.Code{api.CodeNotFound}, Handler: api.Handle(s.clientKeys),
	}, {
		ID: "getInternalTokenKeys", Method: http.MethodGet, Path: "/v1/sites/{site}/internal-token/jwks.json", Tag: "keys", Role: api.Open,
		Summary:     "The public keys of a site's internal tokens, for its API",
		Description: "The JWK Set (RFC 7517 section 5) that verifies what internal_token tells an API: the key that signs now, the one of tomorrow, and those before. Read it again at least once a day.",
		Codes:       []api.Code{api.CodeNotFound}, Handler: api.Handle(s.internalTokenKeys),
	}}
}

type clientKeysInput struct {
	Site string `path:"site"`
}

// ClientKeySet is a JWK Set.
type ClientKeySet struct {
	Keys []map[string]any `json:"keys"`
}

func (s *controlPlane) internalTokenKeys(_ context.Context, in clientKeysInput) (ClientKeySet, error) {
	keys, used := s.instances.signingKeys()
	version, ok := s.inForce.keyVersion(in.Site)
	if !used || !ok {
		return ClientKeySet{}, api.NotFound("site with internal tokens", in.Site)
	}
	public, err := keys.Public(tokenkey.Site{Name: in.Site, Version: version}, time.Now())
	if err != nil {
		return ClientKeySet{}, err
	}
	document, err := json.Marshal(public)
	if err != nil {
		return ClientKeySet{}, err
	}
	var out ClientKeySet
	err = json.Unmarshal(document, &out)
	return out, err
}

func (s *controlPlane) clientKeys(_ context.Context, in clientKeysInput) (ClientKeySet, error) {
	_, workers := s.current()
	for _, w := range workers {
		if w.site.Name != in.Site {
			continue
		}
		if document := w.Snapshot().JWKS; document != nil {
			var out ClientKeySet
			err := json.Unmarshal(document, &out)
			return out, err
		}
	}
	return ClientKeySet{}, api.NotFound("site with keys of umagate's", in.Site)
}
