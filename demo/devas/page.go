package devas

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageSource string

// page is what page.html shows.
type page struct {
	Title, Client, User, Problem, Message string
	Login, Consent, ForClaims             bool
	Scopes                                []string
	Dialog, CSRF, LoginPath, ConsentPath  string
	// PostTo, Fields and ScriptNonce are those of a form_post answer.
	PostTo      template.URL
	Fields      map[string]string
	ScriptNonce string
}

func showError(w http.ResponseWriter, status int, message string) error {
	return show(w, status, page{Title: "This did not work", Message: message})
}

func show(w http.ResponseWriter, status int, p page) error {
	t, err := template.New("page").Parse(pageSource)
	if err != nil {
		return fmt.Errorf("parse page.html: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return fmt.Errorf("fill page.html: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	// No form-action: the redirect after a form goes to the client's own address.
	policy := "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
	if p.ScriptNonce != "" {
		policy += "; script-src 'nonce-" + p.ScriptNonce + "'"
	}
	h.Set("Content-Security-Policy", policy)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // The status is out: only a client that has gone can fail.
	return nil
}
