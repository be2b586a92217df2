package importer

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// authorizationExport is what Keycloak's console exports of a client's
// authorization settings.
type authorizationExport struct {
	Client    text               `json:"clientId"`
	Resources []exportedResource `json:"resources"`
}

type exportedResource struct {
	Name   text   `json:"name"`
	Type   text   `json:"type"`
	URIs   []text `json:"uris"`
	URI    text   `json:"uri"` // of old exports
	Scopes []struct {
		Name text `json:"name"`
	} `json:"scopes"`
}

// findExport finds an export, alone or in the export of a client.
func findExport(members map[string]json.RawMessage) (export json.RawMessage, place string) {
	if settings, ok := members["authorizationSettings"]; ok {
		return settings, "authorizationSettings."
	}
	if members["resources"] == nil || members["paths"] != nil {
		return nil, ""
	}
	for _, key := range []string{"policies", "scopes", "policyEnforcementMode", "allowRemoteResourceManagement", "decisionStrategy"} {
		if members[key] != nil {
			whole, err := json.Marshal(members)
			if err != nil {
				return nil, ""
			}
			return whole, ""
		}
	}
	return nil, ""
}

// keycloakExport reads the resources as an enforcer does that loads them: each of
// their URIs is an enforced path, and one of the resource's scopes does.
func keycloakExport(source string, export json.RawMessage, place string, members map[string]json.RawMessage, settings Settings) (*Draft, error) {
	var e authorizationExport
	if err := json.Unmarshal(export, &e); err != nil {
		return nil, fmt.Errorf("%w: %s%w", ErrSource, place, err)
	}
	d := newDraft(settings, source)
	d.Dialect = "keycloak"
	if place != "" {
		var client text
		if err := json.Unmarshal(members["clientId"], &client); err == nil {
			e.Client = client
		}
	}
	d.ClientID = string(e.Client)
	d.nameSite(settings)
	c := d.newKeycloakSource(place)
	c.Unordered = true
	for i, r := range e.Resources {
		at := place + "resources[" + strconv.Itoa(i) + "]"
		uris := r.URIs
		if len(uris) == 0 && r.URI != "" {
			uris = []text{r.URI}
		}
		if len(uris) == 0 {
			d.note(at, "%q has no URI: the enforcer takes it for no request", r.Name)
		}
		var scopes []text
		for _, s := range r.Scopes {
			scopes = append(scopes, s.Name)
		}
		for _, uri := range uris {
			p := enforcedPath{Name: r.Name, Type: r.Type, Path: uri, Scopes: scopes}
			if entry, first := c.Entry(at, string(uri)); !first {
				// The last one that the enforcer loads holds, and which that is is not known.
				d.noteNarrowed(at, "%q is of %q, too: it is denied", uri, entry.Name)
				entry.Denied = true
				continue
			}
			c.Entries = c.Entries[:len(c.Entries)-1]
			if err := d.enforced(c, at, &p); err != nil {
				return nil, err
			}
		}
	}
	d.note(place+"policies", "who has which scope stays at Keycloak: policies are not carried over")
	return d.putKeycloak(c, "no resource with a URI", place+"resources")
}
