package demo

import (
	"fmt"

	"github.com/umagate/umagate/envoy"
)

// stay prints what can be tried while everything stays up. umagate is how it is
// called.
func (p *printer) stay(w *world, umagate string) {
	p.line("")
	p.line(p.in(bold, "It stays up. Try it, in another terminal of this folder:"))
	for _, t := range w.play.tries(w, umagate) {
		p.line("")
		p.line("  " + p.in(dim, "# "+t.about))
		for _, command := range t.lines {
			p.line("  " + command)
		}
	}
	p.line("")
	for _, row := range p.places(w) {
		p.line("  " + p.in(bold, fmt.Sprintf("%-17s", row[0])) + row[1])
	}
	p.line("")
	p.line("Ctrl-C stops it.")
}

// places lists what can be looked at.
func (*printer) places(w *world) [][2]string {
	rows := [][2]string{{"login page", w.as.Issuer() + "/authorize, which rpt --browser opens"}}
	if admin := w.gateway.admin(); admin != "" {
		rows = append(rows,
			[2]string{"Envoy admin", admin},
			[2]string{"Prometheus", admin + "/stats/prometheus  (umagate_decisions_total …)"},
			[2]string{"access log", w.folder + "/access.log, each decision with its reason"},
		)
	} else {
		rows = append(rows, [2]string{"a real Envoy", "put envoy into PATH or its path into $" + envoy.BinaryVariable + ", and start again"})
	}
	return append(rows,
		[2]string{"control plane", "http://" + w.plane + "/metrics, /readyz, /v1/openapi.json"},
	)
}

// triesAlbums are for the photo albums.
func triesAlbums(w *world, umagate string) []try {
	gateway, issuer := "http://"+w.gateway.address(), w.as.Issuer()
	return []try{
		{"A request without a token, and the answer's headers.", []string{
			"curl -i " + gateway + "/albums/1",
		}},
		{"The client's whole way: 401, ticket, RPT, and again. The password is bob.", []string{
			"UMAGATE_PASSWORD=bob " + umagate + " rpt --client " + clientID + " --user bob " + gateway + "/albums/1",
		}},
		{"The same by the AS's login page, as alice (password alice) or bob.", []string{
			umagate + " rpt --client " + clientID + " --browser " + gateway + "/albums/1",
		}},
		{"Alice lets everybody view album 2, and bob edit album 1: now he can delete it.", []string{
			"curl " + issuer + `/admin/policies -d '{"resource":"album-2","scopes":["view"],"subjects":["*"]}'`,
			"curl " + issuer + `/admin/policies -d '{"resource":"album-1","scopes":["edit"],"subjects":["bob"]}'`,
			"UMAGATE_PASSWORD=bob " + umagate + " rpt --client " + clientID + " --user bob -X DELETE " + gateway + "/albums/1",
		}},
		{"Let something go wrong at the AS (a kind that is none lists them), and mend it.", []string{
			"curl " + issuer + `/admin/faults -d '{"endpoint":"introspection","kind":"html","count":1}'`,
			"curl -X DELETE " + issuer + "/admin/faults",
		}},
		{"What the control plane knows, and why a request is decided as it is.", []string{
			umagate + " status -c " + w.file,
			umagate + " check -c " + w.file + " --host localhost --method DELETE --path /albums/1 --scopes view",
		}},
		{"The configuration. Change it: the gateway has it two seconds later.", []string{
			"${EDITOR:-vi} " + w.file,
		}},
	}
}

// triesMCP are for agents.
func triesMCP(w *world, umagate string) []try {
	issuer := w.as.Issuer()
	return []try{
		{"Your own MCP client: add this server, of streamable HTTP, and log in as bob (password bob).", []string{
			w.url(),
		}},
		{"What it is told without a token, and what it finds there.", []string{
			"curl -i -X POST " + w.url(),
			"curl http://" + w.front + "/.well-known/oauth-protected-resource" + mcpPath,
		}},
		{"What waits for Alice, and her answer (deny is the other one).", []string{
			"curl " + issuer + "/admin/requests",
			"curl -X POST " + issuer + "/admin/requests/ID/approve",
		}},
		{"What she has allowed, and how she takes it back.", []string{
			"curl " + issuer + "/admin/policies",
			"curl -X DELETE " + issuer + "/admin/policies/ID",
		}},
		{"What the control plane knows, and why a call is decided as it is.", []string{
			umagate + " status -c " + w.file,
			umagate + " check -c " + w.file + " --host localhost --path " + mcpPath + " --scopes view --mcp-tool " + deleteAlbum,
		}},
		{"The configuration. Change it: the gateway has it two seconds later.", []string{
			"${EDITOR:-vi} " + w.file,
		}},
	}
}
