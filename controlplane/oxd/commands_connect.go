package oxd

// connectCommands are those of OpenID Connect and of the clients themselves.
func connectCommands() []Command { return nil }
