package instance

import "context"

// Pass is one round of Run.
func Pass(ctx context.Context, m *Manager) error { return m.pass(ctx) }

// Begun is how Run begins.
func Begun(ctx context.Context, m *Manager) { m.begun(ctx) }
