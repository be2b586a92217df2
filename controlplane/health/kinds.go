package health

// What is the matter with this replica, its store and its configuration.
var (
	StoreUnreachable = Kind{
		Name:    "StoreUnreachable",
		Summary: "The store does not answer, or does not take what is written.",
		Affects: "Requests go on with what Envoys have. Revocations, logins and other changes are refused, and no PAT is renewed: when it ends, there are no tickets.",
		Remedy:  "Bring the database back. umagate serve goes on by itself.",
		Replica: true,
		Urgent:  true,
	}
	StoreReplaced = Kind{
		Name:    "StoreReplaced",
		Summary: "The SQLite file that is open is not the one that stands in its place: it was removed, or replaced.",
		Affects: "Requests go on with what Envoys have. Revocations and other changes are refused, since they would be lost with the next start.",
		Remedy:  "Stop umagate serve, put the file back or run umagate restore, and start it again.",
		Replica: true,
		Urgent:  true,
	}
	StoreFull = Kind{
		Name:    "StoreFull",
		Summary: "The disk of the store is full.",
		Affects: "Requests go on with what Envoys have. Revocations, logins and other changes are refused, and a new PAT is not kept.",
		Remedy:  "Make room on the disk. umagate serve goes on by itself.",
		Replica: true,
		Urgent:  true,
	}
	StoreReadOnly = Kind{
		Name:    "StoreReadOnly",
		Summary: "The store can be read and not written: its file system or folder takes nothing, or PostgreSQL is in recovery or takes only transactions that read.",
		Affects: "Requests go on with what Envoys have. Revocations, logins and other changes are refused. With PostgreSQL this replica does not lead, and no PAT is renewed.",
		Remedy:  "Make it writable, or let store name the primary (several hosts with target_session_attrs=read-write find it). umagate serve goes on by itself.",
		Replica: true,
		Urgent:  true,
	}
	StoreKeyUnknown = Kind{
		Name:    "StoreKeyUnknown",
		Summary: "The store is sealed with a key that this replica does not have.",
		Affects: "Requests go on with what its Envoys have. This replica does not lead, takes nothing over from the store, and refuses revocations, logins and other changes.",
		Remedy:  "Write the key as store_key into this replica's umagate.yaml; umagate serve takes it over.",
		Replica: true,
		Urgent:  true,
	}
	NoLeader = Kind{
		Name:    "NoLeader",
		Summary: "No replica leads that this one could know of.",
		Affects: "Nobody registers, renews and synchronises: when the PAT of a site ends, its requests without a token are 403 no_ticket.",
		Remedy:  "Bring the database back. A replica leads within seconds, by itself.",
		Urgent:  true,
	}
	ReplicasDiffer = Kind{
		Name:    "ReplicasDiffer",
		Summary: "A replica that shares the store has another umagate.yaml than this one, or is of another release.",
		Affects: "Requests are judged by the file of the replica that their Envoy is connected to. What is registered at the authorization server follows the leader's. Both change when an Envoy connects to another replica, or another replica leads.",
		Remedy:  "Give every replica the same umagate.yaml and the same release. It ends by itself once an update has reached the last of them.",
	}
	ConfigurationRefused = Kind{
		Name:    "ConfigurationRefused",
		Summary: "umagate.yaml has changed and is not taken over.",
		Affects: "Nobody, as long as the file before is what is meant: it stays in force.",
		Remedy:  "Correct the file: umagate validate shows each fault with its line.",
	}
	CandidateRefused = Kind{
		Name:    "CandidateRefused",
		Summary: "umagate.yaml names another issuer, client or key, which was tried and does not work.",
		Affects: "Nobody, as long as the one before works: it stays in use, and the file before in force.",
		Remedy:  "Correct it in umagate.yaml, or at the authorization server. It is tried again every few seconds.",
	}
	ConfigurationNotPublished = Kind{
		Name:    "ConfigurationNotPublished",
		Summary: "What Envoys are to be given cannot be built.",
		Affects: "Nobody at first: Envoys keep what they have, also a PAT that ends.",
		Remedy:  "Correct what the message names in umagate.yaml.",
		Urgent:  true,
	}
	PublicationPending = Kind{
		Name:    "PublicationPending",
		Summary: "A change is being published.",
		Affects: "Nobody, if it ends within a second.",
		Remedy:  "None, unless it lasts: then the log says what is published all the time.",
	}
	CertificateRefused = Kind{
		Name:    "CertificateRefused",
		Summary: "The files of listen.xds_tls have changed and are not taken over.",
		Affects: "Envoys that connect when the certificate before has ended.",
		Remedy:  "Put a certificate, key and CA there that belong together.",
	}
	CertificateEnding = Kind{
		Name:    "CertificateEnding",
		Summary: "A certificate ends within days, or has ended.",
		Affects: "Nobody before it ends. After that, with the authorization server's: requests with a token that is not cached, 503 as_unreachable, and those without a token, 403 no_ticket. With the client's: the same, as_refused. With that of listen.xds_tls: Envoys that connect.",
		Remedy:  "Renew it. What is in a file is read anew by itself, once it is replaced.",
	}
	HostOrphaned = Kind{
		Name:    "HostOrphaned",
		Summary: "A host whose site was taken out stays denied, since unknown_hosts would let it pass.",
		Affects: "Every request for that host: 403 unknown_host.",
		Remedy:  "Name the host in released_hosts if it is to pass unprotected, or put the site back.",
	}
)

// What is the matter with Envoys.
var (
	EnvoyGone = Kind{
		Name:    "EnvoyGone",
		Summary: "An Envoy has been connected and is not any more.",
		Affects: "Its clients, if it is down. If it is only cut off, it enforces what it had: revocations do not reach it, and its PAT ends.",
		Remedy:  "Bring the Envoy or its network back. One that was taken away on purpose is forgotten after an hour, or at once with umagate acknowledge --envoy NODE_ID.",
		Urgent:  true,
	}
	EnvoyRefused = Kind{
		Name:    "EnvoyRefused",
		Summary: "An Envoy refuses what it was given.",
		Affects: "Its clients, as far as what it had before is not right any more. One that never had anything answers 500.",
		Remedy:  "Correct what its message names. If it is about the path, plugin.wasm is where Envoy finds the module, from the folder that Envoy was started in.",
		Urgent:  true,
	}
	EnvoyBehind = Kind{
		Name:    "EnvoyBehind",
		Summary: "An Envoy has not acknowledged yet what it was sent.",
		Affects: "Nobody, if it ends within a second. Until then it enforces what it had.",
		Remedy:  "If it lasts, look at that Envoy's log and load.",
	}
	AgentGone = Kind{
		Name:    "AgentGone",
		Summary: "An agent beside an Envoy has been connected and is not any more.",
		Affects: "Nobody, until that Envoy starts while the control plane is down: it gets what was good when the agent went, or nothing.",
		Remedy:  "Start umagate agent there again. One that was taken away on purpose is forgotten by itself, or at once with DELETE /v1/envoys/{node_id}.",
	}
	AgentMissing = Kind{
		Name:    "AgentMissing",
		Summary: "umagate.yaml has envoy.last_good, and an Envoy has no agent beside it.",
		Affects: "Nobody, until that Envoy starts while the control plane is down: it finds nothing to start from, and takes no connection.",
		Remedy:  "Run umagate agent on its machine, with the bootstrap that the Envoy was started with, and see in its log that it reaches this control plane. If none is meant to be there, take envoy.last_good out of umagate.yaml.",
	}
	AgentRefused = Kind{
		Name:    "AgentRefused",
		Summary: "An agent beside an Envoy cannot keep what it is given.",
		Affects: "Nobody, until that Envoy starts while the control plane is down: it gets what was kept before, or nothing.",
		Remedy:  "Correct what its message names. If it is about the disk, make room on that machine: the agent tries again within a minute.",
	}
	EnvoyTurnedAway = Kind{
		Name:    "EnvoyTurnedAway",
		Summary: "An Envoy that no group has asks for a configuration.",
		Affects: "Its clients: 500, as it gets nothing.",
		Remedy:  "Look at the match of groups in umagate.yaml, and at that Envoy's node and certificate.",
		Urgent:  true,
	}
	EnvoyNotLetIn = Kind{
		Name:    "EnvoyNotLetIn",
		Summary: "Somebody connects to listen.xds, and one side does not take the other's certificate.",
		Affects: "If it is an Envoy: its clients, as it gets nothing; one that had something goes on with that, and its PAT ends.",
		Remedy:  "Look at the certificate and CA on both sides: those of listen.xds_tls and client_ca here, and envoy.xds_tls there. It is forgotten two minutes after the last attempt.",
		Urgent:  true,
	}
	EnvoyBootstrapOutdated = Kind{
		Name:    "EnvoyBootstrapOutdated",
		Summary: "An Envoy started with an older bootstrap than umagate.yaml makes.",
		Affects: "Nobody, but what umagate.yaml says of envoy.admin, envoy.xds, envoy.xds_tls and its node is without effect in that Envoy.",
		Remedy:  "Print it with umagate render bootstrap, and start that Envoy anew with it.",
	}
	EnvoyNotFollowing = Kind{
		Name:    "EnvoyNotFollowing",
		Summary: "An Envoy has a listener or routes of its own, and does not follow umagate.yaml there.",
		Affects: "Requests through that Envoy, if its own routes are not what umagate.yaml says.",
		Remedy:  "Start it with what umagate render bootstrap prints, take its routes by rds as envoy/own-listener.yaml does, or take the setting out of umagate.yaml.",
	}
	EnvoyUnfiltered = Kind{
		Name:    "EnvoyUnfiltered",
		Summary: "An Envoy takes its routes from here and not its filter, and so gets no routes.",
		Affects: "Its clients: 404, or no connection where its rds has initial_fetch_timeout: 0s.",
		Remedy:  "Give its listener the filter umagate by config_discovery, as envoy/own-listener.yaml does.",
		Urgent:  true,
	}
	EnvoyCannotReachAuthorizationServer = Kind{
		Name:    "EnvoyCannotReachAuthorizationServer",
		Summary: "The calls of an Envoy to the authorization server have no answer.",
		Affects: "Requests through that Envoy with a token that is not cached: 503 as_unreachable. Requests without a token: 403 no_ticket.",
		Remedy:  "If umagate reaches the authorization server and that Envoy does not, look at the way between them: DNS, firewall, proxy, and envoy.ca_file or tls for its trust.",
		Urgent:  true,
	}
	EnvoyCallsRefused = Kind{
		Name:    "EnvoyCallsRefused",
		Summary: "The calls of an Envoy to the authorization server have an answer that cannot be used.",
		Affects: "Requests through that Envoy with a token that is not cached: 503 as_refused, as_error, as_bad_answer or as_busy. Requests without a token: 403 no_ticket.",
		Remedy:  "If no other condition of the site says why, look whether that Envoy has taken its credentials (umagate status), and for a proxy between it and the authorization server.",
		Urgent:  true,
	}
	EnvoyFilterTrapped = Kind{
		Name:    "EnvoyFilterTrapped",
		Summary: "The filter of an Envoy has broken off (trapped) within the last five minutes.",
		Affects: "Requests that were on that worker of that Envoy: 503, or no answer until envoy.stream_idle_timeout. The next ones: 503 until the filter is started anew, by itself, a second after its last start at the earliest; then each token is asked about again.",
		Remedy:  "Keep that Envoy's log, which has the reason, and report it: it is a fault of umagate. If it comes again and again, look for lines of the access log with status 503 and no decision: one kind of request may do it.",
		Urgent:  true,
	}
	EnvoyModuleDiffers = Kind{
		Name:    "EnvoyModuleDiffers",
		Summary: "The filter's module that an Envoy runs is not the one of this release.",
		Affects: "Nobody, as long as that Envoy takes what it is given. An older module refuses a configuration with a setting that came after it (EnvoyRefused): it goes on with the one before, and revocations do not reach it.",
		Remedy:  "Bring umagate.wasm of this release (umagate version names it) to that Envoy, and start it anew; where plugin.wasm is a URL, change plugin.sha256 with it. Until then, an older one takes what has no new setting.",
	}
	EnvoyWithholdsMessages = Kind{
		Name:    "EnvoyWithholdsMessages",
		Summary: "An Envoy had messages to an MCP server within the last five minutes, and its filter could not judge them (mcp conditions).",
		Affects: "Clients of that MCP server. not_shown: every message waits until envoy.stream_idle_timeout, and is a 504. too_long: those that are longer than that Envoy keeps, 413, though limits.mcp_message_bytes lets them pass.",
		Remedy:  "For not_shown: give that Envoy the filter umagate by config_discovery, or write allow_on_headers_stop_iteration: true into its configuration. For too_long: give its own routes request_body_buffer_limit, a little above limits.mcp_message_bytes, or take them by rds; before Envoy 1.37, raise per_connection_buffer_limit_bytes of its listener.",
		Urgent:  true,
	}
	EnvoyClockSkew = Kind{
		Name:    "EnvoyClockSkew",
		Summary: "An Envoy's clock differs from this host's.",
		Affects: "Requests through that Envoy. If its clock is ahead: tokens end that much too soon, and those that live no longer are 401 at once. If it is behind: new tokens are 401 token_not_yet_valid until its clock is there, and those that have ended pass for that much longer, as far as they are cached.",
		Remedy:  "Put the clocks right on both hosts: let NTP keep them.",
		Urgent:  true,
	}
	// StaleTokensBelieved is not urgent: what keeps the AS from being asked is.
	StaleTokensBelieved = Kind{
		Name:    "StaleTokensBelieved",
		Summary: "Envoys cannot ask the authorization server about tokens, and let go on those that were active when they last could (token.stale).",
		Affects: "Nobody who was there before, until the time that the message names; then 503, as for all other tokens now. Tokens that the authorization server revokes meanwhile pass, those that umagate revoke takes back do not.",
		Remedy:  "Bring the authorization server, or the way to it, back before that time: the condition that stands beside this one says which. If nobody is to pass meanwhile, write token.stale: 0s.",
	}
	SiteUnrouted = Kind{
		Name:    "SiteUnrouted",
		Summary: "An Envoy takes its routes from here, and a site that it serves has no upstream.",
		Affects: "Requests for the hosts of that site that the filter lets pass: 404.",
		Remedy:  "Write the site's upstream: http://HOST:PORT.",
		Urgent:  true,
	}
)

// What is the matter with a site at its authorization server, as its Envoys meet it. The
// control plane makes the calls that Envoys make, with the same credentials.
var (
	AuthorizationServerUnreachable = Kind{
		Name:    "AuthorizationServerUnreachable",
		Summary: "The authorization server does not answer.",
		Affects: "Requests with a token that is not cached: 503 as_unreachable. Requests without a token: 403 no_ticket.",
		Remedy:  "Bring the authorization server back. If it is up, check address, DNS and TLS trust from this host.",
		Urgent:  true,
	}
	IntrospectionRefused = Kind{
		Name:    "IntrospectionRefused",
		Summary: "The authorization server refuses the credential that Envoys introspect with: the client's secret or key was changed there, or the client is gone.",
		Affects: "Requests with a token that is not cached: 503 as_refused.",
		Remedy:  "Write the client's secret of the authorization server into umagate.yaml. A client that umagate registered gets its secret read, or is registered anew, by itself.",
		Urgent:  true,
	}
	IntrospectionFailing = Kind{
		Name:    "IntrospectionFailing",
		Summary: "The introspection endpoint answers with something that cannot be used.",
		Affects: "Requests with a token that is not cached: 503 as_error, as_bad_answer or as_busy.",
		Remedy:  "Look at the authorization server's log, and for a proxy in between.",
		Urgent:  true,
	}
	TicketsRefused = Kind{
		Name:    "TicketsRefused",
		Summary: "The permission endpoint refuses the PAT that Envoys ask with.",
		Affects: "Requests without a sufficient token: 403 no_ticket, so that nobody new gets in.",
		Remedy:  "See that the client, or its service account, is enabled at the authorization server and may protect resources (scope or role uma_protection).",
		Urgent:  true,
	}
	TicketsFailing = Kind{
		Name:    "TicketsFailing",
		Summary: "The permission endpoint gives no ticket.",
		Affects: "Requests without a sufficient token: 403 no_ticket, so that nobody new gets in.",
		Remedy:  "Look at the authorization server's log, and for a proxy in between.",
		Urgent:  true,
	}
	ResourceMissing = Kind{
		Name:    "ResourceMissing",
		Summary: "The authorization server does not have a resource or instance that is registered there, or not with its scopes.",
		Affects: "Requests for it without a sufficient token: 403 no_ticket.",
		Remedy:  "None: umagate serve registers it anew. Policies on the one before do not count for the new one: look at them.",
	}
	PoliciesLost = Kind{
		Name:    "PoliciesLost",
		Summary: "A resource or instance was registered anew under another id, since the authorization server did not have it any more.",
		Affects: "Who had a right by a policy on the one before, or from its owner: it does not count for the new one. Policies by scope or type do.",
		Remedy:  "Give the rights again at the authorization server (an instance's owner does), and say so: umagate acknowledge --site SITE NAME. If an instance was removed there on purpose: DELETE /v1/sites/{site}/resources/{name}.",
	}
	InstanceGone = Kind{
		Name:    "InstanceGone",
		Summary: "The authorization server does not have an instance any more whose resource umagate.yaml does not declare any more, so it was not registered again.",
		Affects: "Requests for it: 403 resource_unknown.",
		Remedy:  "Declare the resource and register it again (POST /v1/sites/{site}/resources), or, if that is meant, say so: umagate acknowledge --site SITE NAME.",
	}
	InstancePending = Kind{
		Name:    "InstancePending",
		Summary: "An instance was to be registered or removed, and the authorization server did not do it when it was asked last.",
		Affects: "Requests for it: 403 resource_unknown.",
		Remedy:  "The message has the authorization server's reason. It is tried again within ten seconds of when the authorization server answers again, and else at most every five minutes, until it is done or somebody removes it: DELETE /v1/sites/{site}/resources/{name}.",
	}
	ClockSkew = Kind{
		Name:    "ClockSkew",
		Summary: "The authorization server's clock differs from this host's.",
		Affects: "If it is behind: tokens end that much too soon, and those that live no longer are 401 at once. If it is ahead: new tokens are 401 token_not_yet_valid until this host's clock is there. Revocations hit none too few: of the two clocks, the one counts by which they reach further and last longer. So who logs in again may stay revoked for that much longer.",
		Remedy:  "Put the clocks right on both hosts, and on those of Envoys: let NTP keep them.",
		Urgent:  true,
	}
)

// What is the matter with what a site has at its authorization server.
var (
	SiteNotReady = Kind{
		Name:    "SiteNotReady",
		Summary: "The site is not ready yet.",
		Affects: "Every protected request of the site, until it has served once; after that nobody.",
		Remedy:  "None, if it lasts seconds only. umagate status shows the phase.",
	}
	DiscoveryFailing = Kind{
		Name:    "DiscoveryFailing",
		Summary: "The authorization server's metadata cannot be read.",
		Affects: "Every protected request of the site, until it has served once.",
		Remedy:  "Check authorization_server.issuer, and that this host reaches it.",
		Urgent:  true,
	}
	MetadataNotTaken = Kind{
		Name:    "MetadataNotTaken",
		Summary: "The authorization server's metadata has changed, was tried, and does not work.",
		Affects: "Nobody, as long as the endpoints before work: they stay in use.",
		Remedy:  "Correct the metadata at the authorization server, or name the endpoints in authorization_server.endpoints.",
	}
	RegistrationFailing = Kind{
		Name:    "RegistrationFailing",
		Summary: "The site's client cannot be registered, or is not taken.",
		Affects: "Every protected request of the site, until it has served once.",
		Remedy:  "The message names what the authorization server said.",
		Urgent:  true,
	}
	PATFailing = Kind{
		Name:    "PATFailing",
		Summary: "The site's PAT cannot be obtained or renewed.",
		Affects: "Requests without a sufficient token, once the PAT before has ended: 403 no_ticket.",
		Remedy:  "Check id and secret of authorization_server.client.",
		Urgent:  true,
	}
	SyncFailing = Kind{
		Name:    "SyncFailing",
		Summary: "The site's resources cannot be brought in step with the authorization server.",
		Affects: "Requests for resources that are not registered yet: 403 resource_not_registered.",
		Remedy:  "The message names the resource and what the authorization server said.",
	}
	Deregistered = Kind{
		Name:    "Deregistered",
		Summary: "The site was deregistered by umagate deregister, and is still in the file.",
		Affects: "Every protected request of the site.",
		Remedy:  "Take the site out of umagate.yaml, or register it again with umagate apply.",
	}
	ClientMetadataOutdated = Kind{
		Name:    "ClientMetadataOutdated",
		Summary: "The registration at the authorization server is not as umagate.yaml has it.",
		Affects: "Nobody: the client works as it was.",
		Remedy:  "The message names what stands against the update.",
	}
	ClientSecretExpiring = Kind{
		Name:    "ClientSecretExpiring",
		Summary: "The client secret is about to end, and the authorization server gives no new one.",
		Affects: "Nobody before it ends; then all requests with a token that is not cached: 503 as_refused.",
		Remedy:  "Renew the secret at the authorization server, or register with another method: umagate deregister, and then umagate apply.",
	}
	ClientSecretNotTaken = Kind{
		Name:    "ClientSecretNotTaken",
		Summary: "The authorization server's answer has another client secret, which it does not take.",
		Affects: "Nobody, as long as the secret before works: it stays in use.",
		Remedy:  "Look at the client at the authorization server. umagate apply asks for the registration again.",
	}
	ClientKeyNotReplaced = Kind{
		Name:    "ClientKeyNotReplaced",
		Summary: "The client's key is to be replaced, and the new one was not published or does not work.",
		Affects: "Nobody: the key before stays in use.",
		Remedy:  "The message names what failed. With keys.jwks_uri, see that the authorization server reaches it. It is tried again.",
	}
	ResourcesNotTaken = Kind{
		Name:    "ResourcesNotTaken",
		Summary: "The resources that the authorization server keeps (resources_at_as) cannot be read, or not be taken over.",
		Affects: "Nobody at first: what was read last stays in force. What is changed there since does not count, also what closes a path.",
		Remedy:  "See to what the message names. It is tried again by itself; umagate refresh tries at once.",
		Urgent:  true,
	}
	RemovalsWithheld = Kind{
		Name:    "RemovalsWithheld",
		Summary: "More resources are gone at the authorization server than may be without asking (resources_at_as.max_removals).",
		Affects: "Who has a permission on one of them from before: their paths stay as they were.",
		Remedy:  "Look with umagate plan at what is gone. If that is meant, run umagate refresh --accept-removals.",
	}
	DeletionsWithheld = Kind{
		Name:    "DeletionsWithheld",
		Summary: "More resources are no longer declared than umagate deletes unasked.",
		Affects: "Nobody: they stay at the authorization server.",
		Remedy:  "Look at umagate plan; if they are meant, run umagate apply.",
	}
	NotBeforeUnknown = Kind{
		Name:    "NotBeforeUnknown",
		Summary: "Keycloak's not-before cannot be read.",
		Affects: "Nobody is refused, and that is the danger: tokens that an administrator has revoked by it are still taken.",
		Remedy:  "Let umagate reach the realm's address, or do without it by revocation.not_before_every: 0s.",
		Urgent:  true,
	}
)

// Kinds lists the catalogue, in the order of docs/status.md.
func Kinds() []Kind {
	return []Kind{
		AuthorizationServerUnreachable, IntrospectionRefused, IntrospectionFailing, TicketsRefused, TicketsFailing, ResourceMissing, PoliciesLost, InstanceGone, InstancePending, ClockSkew,
		StoreUnreachable, StoreReplaced, StoreFull, StoreReadOnly, StoreKeyUnknown, NoLeader, ReplicasDiffer,
		ConfigurationRefused, CandidateRefused, ConfigurationNotPublished, PublicationPending, CertificateRefused, CertificateEnding, HostOrphaned,
		EnvoyGone, EnvoyRefused, EnvoyBehind, EnvoyTurnedAway, EnvoyNotLetIn, AgentGone, AgentMissing, AgentRefused, EnvoyBootstrapOutdated, EnvoyNotFollowing, EnvoyUnfiltered,
		EnvoyCannotReachAuthorizationServer, EnvoyCallsRefused, EnvoyFilterTrapped, EnvoyModuleDiffers, EnvoyWithholdsMessages, EnvoyClockSkew, StaleTokensBelieved, SiteUnrouted,
		SiteNotReady, DiscoveryFailing, MetadataNotTaken, RegistrationFailing, PATFailing, SyncFailing, Deregistered,
		ClientMetadataOutdated, ClientSecretExpiring, ClientSecretNotTaken, ClientKeyNotReplaced, ResourcesNotTaken, RemovalsWithheld, DeletionsWithheld, NotBeforeUnknown,
	}
}
