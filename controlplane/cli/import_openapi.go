package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/importer"
)

// specificationImports are those of a description of the API.
func specificationImports() []importSource {
	return []importSource{
		{
			name:  "openapi",
			short: "Make resources and conditions from an OpenAPI document",
			long: `Make resources and conditions from an OpenAPI 3.0, 3.1 or 3.2 or a Swagger 2.0 document:
paths with the servers' base paths before them, operations as methods, path parameters
as {name}, alone in a segment or with text around them. {proxy+}, {path*}, {path:.*},
{+rest}, {key...}, {name=projects/*} and x-amazon-apigateway-any-method are read, too.

Only what says who may do what is read; a fault elsewhere, such as a $ref of a schema
that points at nothing, is noted with its line.

Security becomes scopes: what one requirement lists is needed together, several
requirements are alternatives, and both make a scope_expression where it takes one.
security: [] is public. An operation that declares none, or no scope, asks for a scope
that is made up: read or write. API keys and other schemes cannot be checked by a token,
and are noted. Where a request may be one of several operations, it needs what all of
them ask for.

A server that is relative to the document is taken from --document-url; variables of a
server's URL are what --server-variable says, or their default.

Resources are named by the first tag, or the path's first segment; --resource-by path
makes one of each path.`,
			example: `  umagate import openapi openapi.yaml --issuer https://as.example.com --out umagate.yaml
  umagate import openapi --resource-by path --host api.example.com openapi.json`,
			flags: func(cmd *cobra.Command, f *importFlags) {
				cmd.Flags().StringVar(&f.resourceBy, "resource-by", string(importer.ByTag), "what becomes one resource: tag or path")
				cmd.Flags().StringVar(&f.settings.DocumentURL, "document-url", "", "`URL` that the document is served at, to which its servers may be relative")
				cmd.Flags().StringToStringVar(&f.settings.ServerVariables, "server-variable", nil, "`NAME=VALUE` of a variable in the URLs of its servers; may be given several times")
				cmd.Flags().Lookup("server-variable").DefValue = "" // not "(default [])"
			},
			read: func(path string, f *importFlags) (*importer.Draft, error) {
				kind, err := importer.ParseResourceBy(f.resourceBy)
				if err != nil {
					return nil, &exitError{code: ExitUsage, err: fmt.Errorf("--resource-by: %w", err)}
				}
				return importer.OpenAPI(path, kind, f.settings)
			},
		},
	}
}
