// Command deploygen writes what is generated of the folder deploy: the definitions of
// Kubernetes objects, from the model of umagate.yaml with its comments, for kubectl and in
// the chart; and the chart's copy of the alert rules. "make generate" runs it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/site"
)

func main() {
	if err := write("deploy", "../../envoy/monitoring"); err != nil {
		fmt.Fprintln(os.Stderr, "deploygen:", err)
		os.Exit(1)
	}
}

func write(folder, monitoring string) error {
	files, err := generate(site.JSONSchema())
	if err != nil {
		return err
	}
	if files["chart/rules.yaml"], err = rules(monitoring); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// rules joins the groups of all files with alert rules.
func rules(folder string) ([]byte, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.rules.yaml"))
	if err != nil {
		return nil, err
	}
	type file struct {
		Groups []any `json:"groups"`
	}
	var all file
	for _, path := range paths {
		var one file
		text, err := os.ReadFile(path) //nolint:gosec // the repository's own
		if err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(text, &one); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all.Groups = append(all.Groups, one.Groups...)
	}
	return yaml.Marshal(all)
}

// generate makes the files of both kinds, by their paths.
func generate(jsonSchema []byte) (map[string][]byte, error) {
	m, err := readModel(jsonSchema)
	if err != nil {
		return nil, err
	}
	api, err := protectedAPI(m)
	if err != nil {
		return nil, err
	}
	server, err := authorizationServer(m)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, d := range []definition{
		{
			kind: v1alpha1.ProtectedAPIKind, plural: "protectedapis", short: []string{"papi"}, spec: api, status: protectedAPIStatus(),
			description: "ProtectedAPI is one site of umagate: the hosts of an API, its authorization server, and what it protects.",
			columns: []column{
				{"Hosts", ".status.hosts", "string", 0},
				{"Accepted", condition(v1alpha1.Accepted), "string", 0},
				{"Registered", condition(v1alpha1.Registered), "string", 0},
				{"Synced", condition(v1alpha1.Synced), "string", 0},
				{"Programmed", condition(v1alpha1.Programmed), "string", 0},
				{"Envoys", ".status.envoys", "string", 0},
				{"Issuer", ".status.issuer", "string", 1},
				{"Resources", ".status.resources", "string", 1},
				{"Age", ".metadata.creationTimestamp", "date", 0},
			},
		}, {
			kind: v1alpha1.AuthorizationServerKind, plural: "authorizationservers", short: []string{"uas"}, spec: server, status: authorizationServerStatus(),
			description: "AuthorizationServer is an authorization server and the client there, for the ProtectedAPIs that name it.",
			columns: []column{
				{"Issuer", ".spec.issuer", "string", 0},
				{"Dialect", ".spec.dialect", "string", 0},
				{"Accepted", condition(v1alpha1.Accepted), "string", 0},
				{"APIs", ".status.apis", "integer", 0},
				{"Age", ".metadata.creationTimestamp", "date", 0},
			},
		},
	} {
		text, err := yaml.Marshal(d.resource())
		if err != nil {
			return nil, err
		}
		text = append([]byte("# Generated from the model of umagate.yaml: make generate.\n"), text...)
		out["crds/"+d.plural+".yaml"] = text
		// What is in crds/ of a chart is never upgraded; what is in templates/ is.
		out["chart/templates/crds/"+d.plural+".yaml"] = slices.Concat([]byte("{{- if .Values.definitions }}\n"), text, []byte("{{- end }}\n"))
	}
	return out, nil
}

func condition(kind string) string { return `.status.conditions[?(@.type=="` + kind + `")].status` }
