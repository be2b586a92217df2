package registration

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Topic is what a person should look at although the site works.
type Topic string

// The topics.
const (
	aboutMetadata Topic = "client metadata"
	aboutSecret   Topic = "client secret"
	aboutKeys     Topic = "client keys"
	aboutDeletion Topic = "deletions"
	// AboutNotBefore is Keycloak's word for what it has revoked.
	AboutNotBefore Topic = "not-before"
)

// Warning is one thing to look at.
type Warning struct {
	Topic Topic
	Err   error
	Since time.Time
}

// warnings are what stops nothing, one for each topic.
type warnings struct {
	logger *slog.Logger

	mu   sync.Mutex
	list []Warning // by topic
}

// raise adds a warning, which is logged when it is new and stays until it is cleared.
func (w *warnings) raise(about Topic, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, found := slices.BinarySearchFunc(w.list, about, func(one Warning, t Topic) int { return strings.Compare(string(one.Topic), string(t)) })
	if found && w.list[i].Err.Error() == err.Error() {
		return
	}
	w.logger.Error("needs attention", slog.String("topic", string(about)), slog.Any("error", err), slog.String("remedy", Remedy(err)))
	if found {
		w.list[i].Err = err
		return
	}
	w.list = slices.Insert(w.list, i, Warning{Topic: about, Err: err, Since: time.Now()})
}

func (w *warnings) clear(about Topic) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = slices.DeleteFunc(w.list, func(one Warning) bool { return one.Topic == about })
}

func (w *warnings) all() []Warning {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}
