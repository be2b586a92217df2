package instance

import "context"

// Pass is one round of Run.
func Pass(ctx context.Context, m *Manager) error { return m.pass(ctx) }
