package oxd

// umaCommands are those of UMA, for resource servers and for clients.
func umaCommands() []Command {
	return []Command{
		define("uma_rs_protect", "Protect paths and methods, at the AS and in Envoy.", (*Server).protect),
		define("uma_rs_modify", "Change the scopes of what is protected.", (*Server).modify),
		define("uma_rs_check_access", "Decide whether a request may pass, as Envoy does.", (*Server).checkAccess),
		define("introspect_rpt", "Ask the AS about an RPT.", (*Server).introspectRPT),
		define("uma_rp_get_rpt", "Exchange a permission ticket for an RPT.", (*Server).getRPT),
		define("uma_rp_get_claims_gathering_url", "Where a person is sent to tell the AS what it needs to know.", (*Server).claimsURL),
	}
}
