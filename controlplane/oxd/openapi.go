package oxd

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3gen"

	"github.com/umagate/umagate/controlplane/secret"
)

// OpenAPI makes the document of the HTTP transport from the table of commands.
func OpenAPI() ([]byte, error) {
	failure, err := schemaOf(reflect.TypeFor[Failure]())
	if err != nil {
		return nil, err
	}
	document := &openapi3.T{
		OpenAPI: "3.0.3",
		Info: &openapi3.Info{
			Title: "umagate: the protocol of oxd 3.x over HTTP", Version: "3.1",
			Description: "A command that failed is answered with 200 and status error.",
		},
		Paths: openapi3.NewPaths(),
		Components: &openapi3.Components{
			Schemas: openapi3.Schemas{"Failure": failure},
			SecuritySchemes: openapi3.SecuritySchemes{"protection_access_token": &openapi3.SecuritySchemeRef{
				Value: openapi3.NewSecurityScheme().WithType("http").WithScheme("bearer"),
			}},
		},
	}
	for _, c := range Commands() {
		operation, err := c.operation()
		if err != nil {
			return nil, fmt.Errorf("oxd: describe %s: %w", c.Name, err)
		}
		document.Paths.Set(c.Path(), &openapi3.PathItem{Post: operation})
	}
	document.Paths.Set("/health-check", &openapi3.PathItem{Get: &openapi3.Operation{
		OperationID: "health_check", Summary: "Whether this is running.",
		Responses: openapi3.NewResponses(openapi3.WithStatus(200, response("running", "text/plain", openapi3.NewStringSchema().NewRef()))),
	}})
	return json.MarshalIndent(document, "", "  ")
}

func (c *Command) operation() (*openapi3.Operation, error) {
	params, err := schemaOf(c.Params)
	if err != nil {
		return nil, err
	}
	result, err := schemaOf(c.Result)
	if err != nil {
		return nil, err
	}
	envelope := func(status string, data *openapi3.SchemaRef) *openapi3.SchemaRef {
		return openapi3.NewObjectSchema().
			WithProperty("status", openapi3.NewStringSchema().WithEnum(status)).
			WithPropertyRef("data", data).WithRequired([]string{"status", "data"}).NewRef()
	}
	failed := envelope(statusError, openapi3.NewSchemaRef("#/components/schemas/Failure", nil))
	either := openapi3.NewSchema()
	either.OneOf = openapi3.SchemaRefs{envelope(statusOK, result), failed}
	operation := &openapi3.Operation{
		OperationID: c.Name, Summary: c.Summary,
		RequestBody: &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithRequired(true).WithJSONSchemaRef(params)},
		Responses: openapi3.NewResponses(
			openapi3.WithStatus(200, response("Done, or an error of oxd's.", "application/json", either.NewRef())),
			openapi3.WithStatus(400, response("The parameters are not JSON, or of another type.", "application/json", failed)),
			openapi3.WithStatus(408, response("The parameters did not arrive whole.", "application/json", failed)),
			openapi3.WithStatus(413, response("The parameters are larger than 1 MiB.", "application/json", failed)),
			openapi3.WithStatus(421, response("The name is not one of the address that is listened on.", "application/json", failed)),
		),
	}
	if !c.Open {
		operation.Security = openapi3.NewSecurityRequirements().With(openapi3.NewSecurityRequirement().Authenticate("protection_access_token"))
		operation.Responses.Set("403", response("No bearer token.", "application/json", failed))
	} else {
		operation.Responses.Set("403", response("A web page of another site.", "application/json", failed))
	}
	return operation, nil
}

func response(description, media string, schema *openapi3.SchemaRef) *openapi3.ResponseRef {
	return &openapi3.ResponseRef{Value: openapi3.NewResponse().WithDescription(description).
		WithContent(openapi3.NewContentWithSchemaRef(schema, []string{media}))}
}

// schemaOf describes a type as encoding/json has it. Members of a result are
// there always, also where they are null.
func schemaOf(t reflect.Type) (*openapi3.SchemaRef, error) {
	return openapi3gen.NewSchemaRefForValue(reflect.New(t).Elem().Interface(), nil,
		openapi3gen.SchemaCustomizer(func(_ string, t reflect.Type, _ reflect.StructTag, schema *openapi3.Schema) error {
			switch {
			case t == reflect.TypeFor[secret.Text]():
				*schema = *openapi3.NewStringSchema()
			case t == reflect.TypeFor[Strings]():
				*schema = openapi3.Schema{OneOf: openapi3.SchemaRefs{
					openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema()).NewRef(), openapi3.NewStringSchema().NewRef(),
				}, Nullable: true}
			case t == reflect.TypeFor[json.RawMessage]():
				*schema = openapi3.Schema{}
			case t.Kind() == reflect.Pointer, t.Kind() == reflect.Interface:
				schema.Nullable = true
			}
			return nil
		}))
}
