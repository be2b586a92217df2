// Command docgen writes docs/status.md from the catalogue of conditions. "make generate"
// runs it.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/umagate/umagate/controlplane/health"
)

const output = "../../docs/status.md"

const head = `# What status says

**The question:** what is the matter, whom does it hit, and what do I do?

**You need** a running ` + "`umagate serve`" + `.

` + "```sh" + `
umagate status -c umagate.yaml
` + "```" + `

Exit code 0 means that all is well. Otherwise the conditions come first: name, since when, whom it hits, what to do. The same list is in
` + "`/v1/status`" + ` (` + "`conditions`" + `), by name in the body of ` + "`/readyz`" + `, and in the metrics: ` + "`umagate_ok`" + ` is 0, and
` + "`umagate_condition{condition, site}`" + ` 1. Names do not change.

Each replica asks the AS every 7 s what its Envoys ask: introspection and a permission ticket, at the same endpoints, with the same
credentials. It asks for tickets of 100 resources and 100 instances at a time; those of a site with more have their turn. It tries a write to the store
every 3 s. So what requests meet and what status says differ for less than 15 s. An Envoy with a cached token notices later than status.

"Replica" marks what only this replica has: ` + "`/readyz`" + ` is 503, so that Envoys connect to another one.

| Condition | What is the matter | Whom it hits | What to do |
|---|---|---|---|
`

const tail = `
**Source:** ` + "`controlplane/health`" + `, of which this page is generated. A test makes ten of
them for real, with Keycloak, PostgreSQL, SQLite and Envoy, and compares what requests meet with what status says.
`

func main() {
	if err := os.WriteFile(output, page(), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func page() []byte {
	var b bytes.Buffer
	b.WriteString(head)
	for _, k := range health.Kinds() {
		replica := ""
		if k.Replica {
			replica = " (replica)"
		}
		fmt.Fprintf(&b, "| `%s`%s | %s | %s | %s |\n", k.Name, replica, k.Summary, k.Affects, k.Remedy)
	}
	b.WriteString(tail)
	return b.Bytes()
}
