package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
)

// withdrawnName is the site that denies the hosts of sites that are gone.
const withdrawnName = "umagate-withdrawn"

// withdrawn is a host that a site has guarded, and that would pass unguarded now.
type withdrawn struct{ host, site string }

// guard keeps a host denied whose site was taken out of a file that lets unknown
// hosts pass, until released_hosts names it. The leader keeps which hosts are
// guarded. What it gives is published in file's place.
func (s *serving) guard(ctx context.Context, file *site.File) (*site.File, []withdrawn, error) {
	guarded, err := s.store.GuardedHosts(ctx)
	if err != nil {
		return nil, nil, err
	}
	if s.leads() {
		if err := s.keepGuarded(ctx, file, guarded); err != nil {
			return nil, nil, err
		}
	}
	hosts := file.Withdrawn(guarded)
	if len(hosts) == 0 {
		return file, nil, nil
	}
	out := *file
	out.Sites = append(slices.Clone(file.Sites), site.Closed(withdrawnName, hosts))
	list := make([]withdrawn, 0, len(hosts))
	for _, host := range hosts {
		list = append(list, withdrawn{host: host, site: guarded[host]})
		s.options.Logger.Error("the site of a host is gone, and unknown_hosts would let it pass: it stays denied until released_hosts names it",
			slog.String("host", host), slog.String("site", guarded[host]))
	}
	return &out, list, nil
}

// keepGuarded brings the record in step with the file. Nothing is written when
// nothing is new.
func (s *serving) keepGuarded(ctx context.Context, file *site.File, guarded map[string]string) error {
	for i := range file.Sites {
		for _, host := range file.Sites[i].Hosts {
			host = strings.ToLower(host)
			if guarded[host] == file.Sites[i].Name {
				continue
			}
			if err := s.store.PutGuardedHost(ctx, host, file.Sites[i].Name); err != nil {
				return err
			}
			guarded[host] = file.Sites[i].Name
		}
	}
	for host, name := range guarded {
		if _, there := file.Site(name); there || !file.Released(host) {
			continue
		}
		if err := s.store.DeleteGuardedHost(ctx, host); err != nil {
			return err
		}
		delete(guarded, host)
		s.options.Logger.Warn("host released: it passes as any host that no site has", slog.String("host", host), slog.String("site", name))
	}
	return nil
}

func (w withdrawn) String() string {
	return fmt.Sprintf("host %s is denied: its site %s is gone, and unknown_hosts would let it pass; name it in released_hosts when that is meant", w.host, w.site)
}
