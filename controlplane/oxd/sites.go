package oxd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/plugin/config"
)

// SiteStore is where what applications protect is read from.
type SiteStore interface {
	RPs
	Protections
}

// What [SitesOf] tells.
var (
	// ErrNotEnforceable: what is stored is not what this version takes.
	ErrNotEnforceable = errors.New("what the application protects cannot be enforced, and everything is denied on its hosts")
	// ErrHostsTaken: an entry of oxd.sites is for more than one application.
	ErrHostsTaken = errors.New("another application was first to have these hosts: name the one that is meant by its oxd_id in oxd.sites")
	// ErrNoHosts: no entry of oxd.sites is for the application.
	ErrNoHosts = errors.New("no entry of oxd.sites gives the application hosts: uma_rs_check_access answers, and Envoy does not enforce")
)

// Origin returns what umagate.yaml says of the authorization server of an op_host:
// how it is reached, without a client.
type Origin func(opHost string) site.AuthorizationServer

// SitesOf makes the sites of everything that applications protect, in the order in
// which they began to. The hosts are those that placements give; a site without
// hosts is none of Envoy's. What cannot be enforced denies every path: its hosts
// must not become nobody's.
//
// tell is told what an operator should know of an application; it may be nil.
func SitesOf(ctx context.Context, kept SiteStore, origin Origin, placements []site.OXDSite, tell func(oxdID string, what error)) ([]site.Site, error) {
	if tell == nil {
		tell = func(string, error) {}
	}
	protections, err := kept.Protections(ctx)
	if err != nil {
		return nil, err
	}
	given := make([]bool, len(placements))
	var out []site.Site
	for _, p := range protections {
		record, err := kept.RP(ctx, p.OxdID)
		if errors.Is(err, store.ErrNotFound) {
			continue // removed by another replica, between the two
		}
		if err != nil {
			return nil, err
		}
		rp, err := openRP(record)
		if err != nil {
			return nil, err
		}
		s, err := siteOf(rp, p, origin)
		if err != nil {
			tell(rp.ID, fmt.Errorf("%w: %w", ErrNotEnforceable, err))
			s.Resources = []site.Resource{}
		}
		s.Hosts = nil
		for i := range placements {
			at := &placements[i]
			if !at.Names(rp.ID, rp.Metadata.ClientName, redirectHost(rp)) {
				continue
			}
			if given[i] {
				tell(rp.ID, fmt.Errorf("%w: %q", ErrHostsTaken, at.Hosts))
				continue
			}
			given[i] = true
			s.Hosts = append(s.Hosts, at.Hosts...)
			s.Upstream = at.Upstream
			if err == nil && at.Unmatched != "" {
				s.Unmatched = config.Unmatched(at.Unmatched)
			}
		}
		if len(s.Hosts) == 0 {
			tell(rp.ID, ErrNoHosts)
		}
		out = append(out, s)
	}
	return out, nil
}

// siteOf makes the site of one application, without hosts. The site is there with
// an error, too.
func siteOf(rp *RP, p store.Protection, origin Origin) (site.Site, error) {
	server := origin(rp.OPHost)
	server.Issuer = rp.Issuer
	server.Client = site.Client{
		ID: rp.ClientID, Secret: rp.Secrets.ClientSecret, TokenEndpointAuthMethod: cmp.Or(rp.AuthMethod, clientauth.SecretBasic),
	}
	d, err := protection.Parse(p.Document)
	s := d.Site(protection.SiteName(rp.ID), server)
	if err != nil {
		return s, err
	}
	judged := s
	judged.Hosts = []string{"*"}
	if err := site.Judge(&judged); err != nil {
		return s, fmt.Errorf("oxd: %w", err)
	}
	return s, nil
}

func redirectHost(rp *RP) string {
	u, err := url.Parse(rp.Metadata.RedirectURI)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// siteResources lists what the AS has to have.
func siteResources(made *site.Site, adopt bool) []reconcile.Desired {
	desired := reconcile.Declared(made)
	for i := range desired {
		desired[i].Adopt = adopt
	}
	return desired
}
