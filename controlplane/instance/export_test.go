package instance

import "context"

// Pass is one round of Run.
func Pass(ctx context.Context, k *Keeper) error { return k.pass(ctx) }
