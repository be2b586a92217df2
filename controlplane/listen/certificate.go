package listen

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a pair of files, read anew when one of them changes: what renews
// certificates puts new files in their place. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu     sync.Mutex
	stamp  [2]time.Time
	loaded *tls.Certificate
}

// OpenCertificate reads the pair for the first time. The logger is told of a later one
// that cannot be read.
func OpenCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	_, err := c.Get(nil)
	return c, err
}

// Get is tls.Config.GetCertificate. A pair that cannot be read leaves the one
// before in use.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var stamp [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			stamp[i] = info.ModTime()
		}
	}
	if c.loaded != nil && stamp == c.stamp {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if c.loaded != nil {
			c.logger.Error("certificate not read; the one before stays in use", slog.String("file", c.certFile), slog.Any("error", err))
			c.stamp = stamp // told once
			return c.loaded, nil
		}
		return nil, err
	}
	c.loaded, c.stamp = &pair, stamp
	return c.loaded, nil
}
