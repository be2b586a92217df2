package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/store"
)

// Instance is one instance of a resource whose name has variables, as the API
// tells it.
type Instance struct {
	Site string `json:"site"`
	// Name is the one at the authorization server: album-7.
	Name string `json:"name"`
	// Resource is the declared name: album-{id}.
	Resource string `json:"resource"`
	// Values are those of its variables, in their order.
	Values []string `json:"values"`
	// Owner is the subject it belongs to; empty for the resource server itself.
	Owner string `json:"owner,omitempty"`
	// State is pending, registered or removing.
	State store.InstanceState `json:"state"`
	// ResourceID is empty until it is registered.
	ResourceID string `json:"resource_id,omitempty"`
	// Failure is why the last attempt had no success; it is tried again.
	Failure   string    `json:"failure,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Location implements [api.Located].
func (i Instance) Location() string {
	return "/v1/sites/" + url.PathEscape(i.Site) + "/resources/" + url.PathEscape(i.Name)
}

// NewInstance is what POST /v1/sites/{site}/resources takes.
type NewInstance struct {
	Resource string   `json:"resource" minLength:"1" maxLength:"128" doc:"the declared name, such as album-{id}"`
	Values   []string `json:"values,omitempty" doc:"of its variables, in their order; or give the path"`
	Path     string   `json:"path,omitempty" maxLength:"4096" doc:"the instance's own path, such as /albums/7"`
	Owner    string   `json:"owner,omitempty" maxLength:"255" doc:"the subject it belongs to, or at Keycloak the user name; the resource server's own when left out"`
}

type instancePath struct {
	SitePath

	Name string `path:"name" minLength:"1" maxLength:"255" doc:"the name at the authorization server, such as album-7"`
}

func (s *controlPlane) instanceOperations() []api.Operation {
	const tag = "resources"
	return []api.Operation{{
		ID: "createResource", Method: http.MethodPost, Path: "/v1/sites/{site}/resources", Tag: tag, Role: api.Write, Status: http.StatusCreated,
		Summary: "Register an instance of a resource for its owner",
		Description: "For a resource whose name has variables. The call is idempotent. While the authorization server does not answer, or refuses, the state is pending, " +
			"failure says why, and it is tried again until it is registered or removed. A different owner gets 409.",
		Records: true, Codes: []api.Code{api.CodeConflict, api.CodeNotFound, api.CodeUnavailable},
		Handler: api.Handle(s.createInstance),
	}, {
		ID: "listResources", Method: http.MethodGet, Path: "/v1/sites/{site}/resources", Tag: tag, Role: api.Read,
		Summary: "The instances of resources that umagate has registered, by name", Codes: []api.Code{api.CodeUnavailable},
		Handler: api.Handle(s.listInstances),
	}, {
		ID: "getResource", Method: http.MethodGet, Path: "/v1/sites/{site}/resources/{name}", Tag: tag, Role: api.Read,
		Summary: "One instance", Codes: []api.Code{api.CodeUnavailable},
		Handler: api.Handle(func(ctx context.Context, in instancePath) (Instance, error) {
			w, err := s.workerWithInstances(in.Site)
			if err != nil {
				return Instance{}, err
			}
			found, err := w.instances.Get(ctx, in.Name)
			return tell(in.Site, found), instanceProblem(err)
		}),
	}, {
		ID: "deleteResource", Method: http.MethodDelete, Path: "/v1/sites/{site}/resources/{name}", Tag: tag, Role: api.Write,
		Summary:     "End the registration of an instance, and its owner's policies with it",
		Description: "When the authorization server does not answer, it is removed there as soon as it does; Envoys deny it within instances.ttl.",
		Records:     true, Codes: []api.Code{api.CodeUnavailable},
		Handler: api.Handle(func(ctx context.Context, in instancePath) (api.None, error) {
			w, err := s.workerWithInstances(in.Site)
			if err != nil {
				return api.None{}, err
			}
			_, err = w.instances.Remove(ctx, in.Name)
			return api.None{}, instanceProblem(err)
		}),
	}}
}

// workerWithInstances returns the worker of a site with instances.
func (s *controlPlane) workerWithInstances(site string) (*worker, error) {
	w, err := s.worker(site)
	if err == nil && w.instances == nil {
		return nil, api.NotFound("resource with instances in site", site).WithRemedy("Declare one: a name with a variable of its paths, such as album-{id}.")
	}
	return w, err
}

func (s *controlPlane) createInstance(ctx context.Context, in struct {
	SitePath

	Body NewInstance
},
) (Instance, error) {
	w, err := s.workerWithInstances(in.Site)
	if err != nil {
		return Instance{}, err
	}
	made, _, err := w.instances.Register(ctx, instance.Request{Template: in.Body.Resource, Values: in.Body.Values, Path: in.Body.Path, Owner: in.Body.Owner})
	return tell(in.Site, made), instanceProblem(err)
}

func (s *controlPlane) listInstances(ctx context.Context, in struct {
	SitePath
	api.Paging

	Resource string `query:"resource" maxLength:"128" doc:"only of this declared name"`
},
) (api.Page[Instance], error) {
	page := api.Page[Instance]{Items: []Instance{}}
	w, err := s.worker(in.Site)
	if err != nil || w.instances == nil {
		return page, err
	}
	after, err := in.After()
	if err != nil {
		return page, err
	}
	found, err := w.instances.List(ctx, in.Resource, after, in.Size()+1)
	if err != nil {
		return page, instanceProblem(err)
	}
	if len(found) > in.Size() {
		found = found[:in.Size()]
		page.NextCursor = api.NextAfter(found[len(found)-1].Name)
	}
	for _, i := range found {
		page.Items = append(page.Items, tell(in.Site, i))
	}
	return page, nil
}

func tell(site string, i store.Instance) Instance {
	return Instance{
		Site: site, Name: i.Name, Resource: i.Template, Values: i.Values, Owner: i.Owner, State: i.State, ResourceID: i.ID,
		Failure: i.Failure, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt,
	}
}

// instanceProblem says what an error means to a caller.
func instanceProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, instance.ErrUnknown):
		return api.NewProblem(api.CodeNotFound, "%s", err.Error())
	case errors.Is(err, instance.ErrTemplate):
		return api.Invalid("body", "resource", "%s", err.Error())
	case errors.Is(err, instance.ErrValues):
		return api.Invalid("body", "values", "%s", err.Error())
	case errors.Is(err, instance.ErrOwned), errors.Is(err, instance.ErrRemoving), errors.Is(err, instance.ErrAmbiguous):
		return api.Conflict("%s", err.Error())
	}
	return err
}
