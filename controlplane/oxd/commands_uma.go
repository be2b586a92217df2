package oxd

// umaCommands are those of UMA, for resource servers and for clients.
func umaCommands() []Command { return nil }
