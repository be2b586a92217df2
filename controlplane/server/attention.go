package server

import (
	"log/slog"
	"slices"
	"strings"
	"time"
)

// topic is what a person should look at although the site works.
type topic string

// The topics.
const (
	aboutMetadata topic = "client metadata"
	aboutSecret   topic = "client secret"
	aboutKeys     topic = "client keys"
	aboutDeletion topic = "deletions"
	// aboutNotBefore is Keycloak's word for what it has revoked.
	aboutNotBefore topic = "not-before"
)

// attention is one thing to look at.
type attention struct {
	topic topic
	err   error
	since time.Time
}

// attend tells of something that stops nothing, in the log when it is new and in
// the status until it is resolved.
func (w *worker) attend(about topic, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.attentions, func(a attention) bool { return a.topic == about })
	if i >= 0 && w.attentions[i].err.Error() == err.Error() {
		return
	}
	w.logger.Error("needs attention", slog.String("topic", string(about)), slog.Any("error", err), slog.String("remedy", remedy(err)))
	if i >= 0 {
		w.attentions[i].err = err
		return
	}
	w.attentions = append(w.attentions, attention{topic: about, err: err, since: time.Now()})
	slices.SortFunc(w.attentions, func(a, b attention) int { return strings.Compare(string(a.topic), string(b.topic)) })
}

// resolve takes a topic from the status.
func (w *worker) resolve(about topic) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attentions = slices.DeleteFunc(w.attentions, func(a attention) bool { return a.topic == about })
}
