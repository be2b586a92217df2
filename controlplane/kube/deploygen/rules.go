package main

// rule is one of the CEL rules of a definition: what it finds is told in the words of
// umagate validate.
type rule struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	// FieldPath is the place in the definition that it is told at; its whole when empty.
	FieldPath string `json:"fieldPath,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// rulesOf are the rules of each definition of the model, by its name there.
//
// Each costs what its lists can be long, so that lists have bounds, see bounds.
func rulesOf(definition string) []rule {
	switch definition {
	case "Condition":
		return []rule{{
			Rule:    `[has(self.public) && self.public, has(self.deny) && self.deny, has(self.scopes), has(self.scope_expression)].filter(x, x).size() == 1`,
			Message: "exactly one of public, deny, scopes and scope_expression is needed",
		}, {
			Rule:    `!(has(self.ticket) || has(self.ticket_scopes)) || !(has(self.public) && self.public || has(self.deny) && self.deny)`,
			Message: "looks at no token, and names what a ticket asks for; take ticket_scopes and ticket out: nobody is asked for a token here",
		}, {
			Rule:    `!(has(self.acr) || has(self.max_auth_age)) || !(has(self.public) && self.public || has(self.deny) && self.deny)`,
			Message: "looks at no token, and names how its owner has to be authenticated; take acr and max_auth_age out: nobody is asked for a token here",
		}}
	case "Resource":
		return []rule{{
			Rule:      `!has(self.adopt) || !self.adopt || !has(self.id)`,
			Message:   "a resource with an id is used as it is, never changed; take adopt out, or the id",
			FieldPath: ".adopt",
		}}
	case "Token":
		return []rule{{
			Rule:      `!has(self.ask_owner) || !self.ask_owner || has(self.evaluate) && self.evaluate == 'at_as'`,
			Message:   "the authorization server is not asked what tokens may; write evaluate: at_as beside it",
			FieldPath: ".ask_owner",
		}}
	case "Client":
		return []rule{{
			Rule:    `has(self.register) || has(self.id)`,
			Message: "there is no client; write register: {} to register one, or id and secret of one that exists",
		}, {
			Rule:    `!has(self.register) || !has(self.id) && !has(self.secret)`,
			Message: "is registered, and given too; keep either register or id with its credential",
		}}
	}
	return nil
}

// specRules are those of a ProtectedAPI's spec.
func specRules() []rule {
	return []rule{{
		Rule:    `has(self.hosts) || has(self.targetRefs)`,
		Message: "the site has no host; write hosts: [photos.example.com], or targetRefs: with a Gateway, an HTTPRoute or a Service",
	}, {
		Rule:    `has(self.resources) && size(self.resources) > 0 || has(self.resources_at_as) || has(self.unmatched) && self.unmatched == 'authenticated'`,
		Message: `nothing is protected; write at least one resource with conditions; paths: ["/**"] is every path`,
	}, {
		Rule:    `!has(self.require) || self.require != 'oauth_scopes' || !has(self.token) || !has(self.token.evaluate) || self.token.evaluate != 'at_as'`,
		Message: "with require: oauth_scopes there are no permissions that the authorization server could be asked for; take evaluate out, or write require: uma",
	}}
}

// nameRule keeps names such that a site's name tells namespace and name apart.
func nameRule() rule {
	return rule{Rule: `self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63`, Message: "the name is no DNS label; write lower-case letters, digits and -, 63 at most"}
}

// bounds are how long lists may be; what rules cost follows from it.
func bounds(definition, key string) int64 {
	switch definition + "." + key {
	case "Site.hosts":
		return 64
	case "Site.resources":
		return 256
	case "Resource.conditions":
		return 64
	case "Condition.paths", "Condition.methods", "Condition.scopes", "Condition.ticket":
		return 256
	}
	return 0
}
