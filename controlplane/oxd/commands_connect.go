package oxd

// connectCommands are those of OpenID Connect and of the clients themselves.
func connectCommands() []Command {
	return []Command{
		define("setup_client", "Register the client whose tokens protect commands, and a site that they command.", (*Server).setupClient).open(),
		define("get_client_token", "Get the token that protects commands.", (*Server).clientToken).open(),
		define("introspect_access_token", "Ask the OP about an access token.", (*Server).introspect),
		define("register_site", "Register a client at the OP.", (*Server).registerSite),
		define("update_site", "Change the client at the OP.", (*Server).updateSite).alias("update_site_registration"),
		define("remove_site", "Forget a site, and delete its client at the OP.", (*Server).removeSite),
		define("get_authorization_url", "Begin a login.", (*Server).authorizationURL),
		define("get_tokens_by_code", "End a login.", (*Server).tokensByCode),
		define("get_access_token_by_refresh_token", "Renew an access token.", (*Server).tokensByRefresh),
		define("get_user_info", "Ask the OP about the person of an access token.", (*Server).userInfo),
		define("get_logout_uri", "Where a person is sent to log out.", (*Server).logoutURI),
		define("get_rp", "What is kept of a site.", (*Server).describe),
		define("get_jwks", "The keys of an OP.", (*Server).jwks),
		define("get_discovery", "The discovery document of an OP.", (*Server).discovery),
	}
}
