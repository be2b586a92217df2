package main

import (
	"strings"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
)

// definition is one CustomResourceDefinition.
type definition struct {
	kind, plural, description string
	short                     []string
	spec, status              schema
	columns                   []column
}

// column is one that kubectl prints; those of priority 1 with -o wide.
type column struct {
	name, path, kind string
	priority         int
}

func (d *definition) resource() schema {
	group := v1alpha1.GroupVersion.Group
	columns := make([]schema, len(d.columns))
	for i, c := range d.columns {
		columns[i] = schema{"name": c.name, "type": c.kind, "jsonPath": c.path, "priority": c.priority}
	}
	return schema{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": schema{
			"name":   d.plural + "." + group,
			"labels": labels(d.kind),
			// Helm leaves it there when the chart goes: every object would go with it.
			"annotations": map[string]string{"helm.sh/resource-policy": "keep"},
		},
		"spec": schema{
			"group": group, "scope": "Namespaced",
			"names": schema{
				"kind": d.kind, "listKind": d.kind + "List", "plural": d.plural, "singular": strings.ToLower(d.kind),
				"shortNames": d.short, "categories": []string{"umagate"},
			},
			"versions": []schema{{
				"name": v1alpha1.GroupVersion.Version, "served": true, "storage": true,
				"subresources":             schema{"status": schema{}},
				"additionalPrinterColumns": columns,
				"schema": schema{"openAPIV3Schema": schema{
					"type": "object", "description": d.description, "required": []string{"spec"},
					"properties": schema{
						"apiVersion": schema{"type": "string"}, "kind": schema{"type": "string"}, "metadata": schema{"type": "object"},
						"spec": d.spec, "status": d.status,
					},
					"x-kubernetes-validations": []rule{nameRule()},
				}},
			}},
		},
	}
}

// labels mark a policy as GEP-713 has it, for what looks for such.
func labels(kind string) map[string]string {
	out := map[string]string{"app.kubernetes.io/part-of": "umagate"}
	if kind == v1alpha1.ProtectedAPIKind {
		out["gateway.networking.k8s.io/policy"] = "Direct"
	}
	return out
}

// protectedAPI is the spec of a ProtectedAPI: a site without what its object says.
func protectedAPI(m *model) (schema, error) {
	spec, err := m.object("Site")
	if err != nil {
		return nil, err
	}
	properties := asSchema(spec["properties"])
	delete(properties, "name")
	delete(properties, "authorization_server")
	properties["authorizationServerRef"] = schema{
		"type": "object", "required": []string{"name"},
		"description": "The AuthorizationServer. One of another namespace needs a ReferenceGrant there.",
		"properties":  schema{"name": text(253), "namespace": text(63)},
	}
	properties["targetRefs"] = schema{
		"type": "array", "minItems": 1, "maxItems": 16,
		"description": "Gateways, HTTPRoutes and Services of this namespace, whose hosts and paths are taken. hosts and path_prefixes, where they are written, stand in their place.",
		"items": schema{
			"type": "object", "required": []string{"group", "kind", "name"},
			"properties": schema{
				"group": schema{"type": "string", "maxLength": 253}, "kind": text(63), "name": text(253),
				"sectionName": described(text(253), "A listener of a Gateway. Left out: all of them."),
			},
			"x-kubernetes-validations": []rule{{
				Rule:    `self.group == 'gateway.networking.k8s.io' && self.kind in ['Gateway', 'HTTPRoute'] || self.group == '' && self.kind == 'Service'`,
				Message: "is nothing that has hosts; write a Gateway or an HTTPRoute of group gateway.networking.k8s.io, or a Service of group \"\"",
			}},
		},
	}
	setDefaults(properties, map[string]string{
		"mode": "enforce", "unmatched": "deny", "ambiguous_paths": "reject", "case": "sensitive",
		"override_headers": "strip", "cors_preflight": "deny", "require": "uma",
	})
	spec["required"] = []string{"authorizationServerRef"}
	spec["x-kubernetes-validations"] = specRules()
	return spec, nil
}

func authorizationServer(m *model) (schema, error) {
	spec, err := m.object("AuthorizationServer")
	if err != nil {
		return nil, err
	}
	setDefaults(asSchema(spec["properties"]), map[string]string{"dialect": "auto", "discovery": "on"})
	return spec, nil
}

// setDefaults writes defaults where kubectl shows them. A test compares them with the model's.
func setDefaults(properties schema, values map[string]string) {
	for key, value := range values {
		asSchema(properties[key])["default"] = value
	}
}

func text(longest int) schema { return schema{"type": "string", "minLength": 1, "maxLength": longest} }

func described(s schema, words string) schema { s["description"] = words; return s }

func conditions() schema {
	return schema{
		"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []string{"type"},
		"items": schema{
			"type": "object", "required": []string{"type", "status", "lastTransitionTime", "reason", "message"},
			"properties": schema{
				"type": text(316), "status": schema{"type": "string", "enum": []string{"True", "False", "Unknown"}},
				"observedGeneration": schema{"type": "integer", "format": "int64"},
				"lastTransitionTime": schema{"type": "string", "format": "date-time"},
				"reason":             text(1024), "message": schema{"type": "string", "maxLength": 32768},
			},
		},
	}
}

func protectedAPIStatus() schema {
	str := schema{"type": "string"}
	return schema{"type": "object", "properties": schema{
		"observedGeneration": schema{"type": "integer", "format": "int64"},
		"conditions":         conditions(),
		"site":               str, "issuer": str, "resources": str, "envoys": str,
		"hosts": schema{"type": "array", "items": str},
		"ancestors": schema{"type": "array", "maxItems": 16, "items": schema{
			"type": "object", "required": []string{"ancestorRef", "controllerName"},
			"properties": schema{
				"ancestorRef": schema{"type": "object", "required": []string{"name"}, "properties": schema{
					"group": str, "kind": str, "namespace": str, "name": str, "sectionName": str, "port": schema{"type": "integer"},
				}},
				"controllerName": str, "conditions": conditions(),
			},
		}},
	}}
}

func authorizationServerStatus() schema {
	return schema{"type": "object", "properties": schema{
		"observedGeneration": schema{"type": "integer", "format": "int64"},
		"conditions":         conditions(),
		"apis":               schema{"type": "integer"},
	}}
}
