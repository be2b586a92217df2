package cli

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/route"
)

// instance stands for the control plane, which would say whether the instance that
// the request is about is registered. Its name stands for its id.
func (c *checker) instance(call *decision.Call) (decision.Response, asked, error) {
	var question struct {
		Resource string   `json:"resource"`
		Values   []string `json:"values"`
	}
	if err := json.Unmarshal(call.Body, &question); err != nil {
		return decision.Response{}, asked{}, fmt.Errorf("the core's question for an instance: %w", err)
	}
	name, err := route.ParseName(question.Resource)
	if err != nil {
		return decision.Response{}, asked{}, fmt.Errorf("resource %s: %w", question.Resource, err)
	}
	c.instanceName = name.Expand(question.Values)
	note := asked{What: "control plane for the registration of " + c.instanceName}
	if c.flags.unregistered {
		note.Answer = "assumed: there is none (--unregistered)"
		return decision.Response{Status: http.StatusNotFound}, note, nil
	}
	note.Answer = "assumed: it is registered"
	body, err := json.Marshal(map[string]string{"resource_id": c.instanceName})
	return decision.Response{Status: http.StatusOK, Body: body}, note, err
}

// assumedNames are what a resource is called, for --resource: an instance goes by
// the declared name and by its own.
func (c *checker) assumedNames(s *site.Site, r *site.Resource) []string {
	if r.HasInstances() && s.HasInstances() {
		return []string{r.Name, c.instanceName}
	}
	return []string{r.Name}
}
