package server

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
)

// certificateWatch reads the files of listen.xds_tls anew when they change.
type certificateWatch struct {
	certificates *xds.Certificates
	xds          *xds.Server
	every        time.Duration
	logger       *slog.Logger
	failed       lastError
}

// newCertificateWatch reads the files a first time; relative names are beside
// umagate.yaml.
func newCertificateWatch(t *site.XDSTLS, options Options, server *xds.Server) (*certificateWatch, error) {
	beside := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(options.Path), name)
	}
	w := &certificateWatch{
		certificates: &xds.Certificates{Certificate: beside(t.Certificate), Key: beside(t.Key), ClientCA: beside(t.ClientCA)},
		xds:          server, every: options.Intervals.Watch, logger: options.Logger,
	}
	_, err := w.certificates.Load()
	return w, err
}

// run watches until ctx ends. New connections get the new certificate; those that
// the new client_ca does not trust are ended.
func (w *certificateWatch) run(ctx context.Context) {
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changed, err := w.certificates.Load()
		switch before := w.failed.set(err); {
		case err != nil && (before == nil || before.Error() != err.Error()):
			w.logger.Error("TLS files of xDS not taken over; those before stay in use", slog.Any("error", err))
		case changed:
			w.logger.Info("TLS files of xDS taken over")
			w.xds.Distrust(w.certificates)
		}
	}
}
