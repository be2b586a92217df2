package devas

import (
	"net"
	"net/http"
	"time"
)

// adminHandler is the admin API: policies, owners, users, clients, faults, calls
// and actions as JSON, for scripts and the demo. It answers loopback only, and no
// browser: it asks for no password.
//
//	POST   /admin/policies                  Policy → {"id"}
//	GET    /admin/policies
//	DELETE /admin/policies[/{id}]
//	GET    /admin/resources
//	GET    /admin/resources/{id}            _id or name
//	PUT    /admin/resources/{id}            {"owner","ask_owner"}
//	DELETE /admin/resources/{id}
//	GET    /admin/requests
//	POST   /admin/requests/{id}/approve|deny
//	POST   /admin/users                     User
//	GET    /admin/faults
//	POST   /admin/faults                    Fault, with delay_ms and retry_after_s
//	DELETE /admin/faults[/{endpoint}]
//	GET    /admin/calls[/{endpoint}]        counts, or the calls of one endpoint
//	DELETE /admin/calls
//	POST   /admin/actions/rotate-keys|forget-keys|forget-clients|expire-pats|expire-tokens
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]endpointFunc{
		"POST /admin/policies":               s.adminPermit,
		"GET /admin/policies":                func(w http.ResponseWriter, _ *http.Request) error { return ok(w, s.Policies()) },
		"DELETE /admin/policies":             func(w http.ResponseWriter, _ *http.Request) error { s.ForbidAll(); return done(w) },
		"DELETE /admin/policies/{id}":        s.adminForbid,
		"GET /admin/resources":               func(w http.ResponseWriter, _ *http.Request) error { return ok(w, s.Resources()) },
		"GET /admin/resources/{id}":          s.adminResource,
		"PUT /admin/resources/{id}":          s.adminOwner,
		"DELETE /admin/resources/{id}":       s.adminDeleteResource,
		"GET /admin/requests":                func(w http.ResponseWriter, _ *http.Request) error { return ok(w, s.Requests()) },
		"POST /admin/requests/{id}/{answer}": s.adminAnswer,
		"POST /admin/users":                  s.adminUser,
		"GET /admin/faults":                  func(w http.ResponseWriter, _ *http.Request) error { return ok(w, s.Faults()) },
		"POST /admin/faults":                 s.adminFault,
		"DELETE /admin/faults":               s.adminClearFaults,
		"DELETE /admin/faults/{endpoint}":    s.adminClearFaults,
		"GET /admin/calls":                   s.adminCounts,
		"GET /admin/calls/{endpoint}":        s.adminCalls,
		"DELETE /admin/calls":                func(w http.ResponseWriter, _ *http.Request) error { s.ResetCalls(); return done(w) },
		"POST /admin/actions/{action}":       s.adminAction,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			s.answer(w, r, serve(w, r))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		ip := net.ParseIP(host)
		// A page in a browser on this machine comes from loopback, too; it cannot
		// leave out Origin or Sec-Fetch-Site.
		foreign := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
		if err != nil || ip == nil || !ip.IsLoopback() || foreign {
			newError(http.StatusForbidden, "access_denied", "the admin API answers programs on loopback only").write(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func ok(w http.ResponseWriter, v any) error {
	writeJSON(w, http.StatusOK, v)
	return nil
}

func done(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func notFound(what string) *protocolError {
	return newError(http.StatusNotFound, "not_found", what+" is not known")
}

func (s *Server) adminPermit(w http.ResponseWriter, r *http.Request) error {
	var p Policy
	if err := readJSON(r, &p, true); err != nil {
		return err
	}
	id, err := s.Permit(p)
	if err != nil {
		return invalidRequest(err.Error())
	}
	writeJSON(w, http.StatusCreated, map[string]string{"id": id})
	return nil
}

func (s *Server) adminForbid(w http.ResponseWriter, r *http.Request) error {
	if !s.Forbid(r.PathValue("id")) {
		return notFound("policy " + r.PathValue("id"))
	}
	return done(w)
}

// findResource finds a resource by _id, else by name.
func (s *Server) findResource(name string) (Resource, error) {
	for _, res := range s.Resources() {
		if res.ID == name {
			return res, nil
		}
	}
	for _, res := range s.Resources() {
		if res.Name == name {
			return res, nil
		}
	}
	return Resource{}, notFound("resource " + name)
}

func (s *Server) adminResource(w http.ResponseWriter, r *http.Request) error {
	res, err := s.findResource(r.PathValue("id"))
	if err != nil {
		return err
	}
	return ok(w, res)
}

func (s *Server) adminOwner(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Owner    string `json:"owner"`
		AskOwner bool   `json:"ask_owner"`
	}
	if err := readJSON(r, &body, true); err != nil {
		return err
	}
	res, err := s.findResource(r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := s.SetOwner(res.ID, body.Owner, body.AskOwner); err != nil {
		return invalidRequest(err.Error())
	}
	return done(w)
}

func (s *Server) adminDeleteResource(w http.ResponseWriter, r *http.Request) error {
	res, err := s.findResource(r.PathValue("id"))
	if err != nil {
		return err
	}
	s.DeleteResource(res.ID)
	return done(w)
}

func (s *Server) adminAnswer(w http.ResponseWriter, r *http.Request) error {
	answer := r.PathValue("answer")
	if answer != "approve" && answer != "deny" {
		return notFound("answer " + answer)
	}
	if err := s.Answer(r.PathValue("id"), answer == "approve"); err != nil {
		return notFound("request " + r.PathValue("id"))
	}
	return done(w)
}

func (s *Server) adminUser(w http.ResponseWriter, r *http.Request) error {
	var u User
	if err := readJSON(r, &u, true); err != nil {
		return err
	}
	if err := s.AddUser(u); err != nil {
		return invalidRequest(err.Error())
	}
	return done(w)
}

func (s *Server) adminFault(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Fault
		DelayMS     int `json:"delay_ms"`
		RetryAfterS int `json:"retry_after_s"`
	}
	if err := readJSON(r, &body, true); err != nil {
		return err
	}
	body.Delay = time.Duration(body.DelayMS) * time.Millisecond
	body.RetryAfter = time.Duration(body.RetryAfterS) * time.Second
	if err := s.SetFault(body.Fault); err != nil {
		return invalidRequest(err.Error())
	}
	return done(w)
}

func (s *Server) adminClearFaults(w http.ResponseWriter, r *http.Request) error {
	s.ClearFaults(Endpoint(r.PathValue("endpoint")))
	return done(w)
}

func (s *Server) adminCounts(w http.ResponseWriter, _ *http.Request) error {
	counts := map[Endpoint]int{}
	for _, e := range Endpoints() {
		counts[e] = s.Count(e)
	}
	return ok(w, counts)
}

func (s *Server) adminCalls(w http.ResponseWriter, r *http.Request) error {
	return ok(w, s.Calls(Endpoint(r.PathValue("endpoint"))))
}

func (s *Server) adminAction(w http.ResponseWriter, r *http.Request) error {
	switch action := r.PathValue("action"); action {
	case "rotate-keys", "forget-keys":
		s.RotateKeys(action == "rotate-keys")
	case "forget-clients":
		s.ForgetClients()
	case "expire-pats":
		s.ExpirePATs()
	case "expire-tokens":
		s.ExpireTokens("")
	default:
		return notFound("action " + action)
	}
	return done(w)
}
