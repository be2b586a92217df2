package health

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Kind is one thing that can be the matter. [Kinds] lists them.
type Kind struct {
	// Name is CamelCase, as that of a Kubernetes condition. It does not change: alerts
	// name it.
	Name string
	// Summary says in one sentence what is the matter, Affects whom it hits and what they
	// meet, Remedy what to do.
	Summary, Affects, Remedy string
	// Replica reports whether this replica alone has it, so that Envoys are better off
	// with another one: /readyz is 503.
	Replica bool
	// Urgent reports whether somebody has to be woken: users are refused, or will be
	// before the day begins, or a revocation does not reach everybody.
	Urgent bool
}

// Condition is one thing that is the matter now. It holds no secret.
type Condition struct {
	Name string `json:"name"`
	// Site is empty for what concerns every site.
	Site    string `json:"site,omitempty"`
	Summary string `json:"summary"`
	// Message has the particulars: which, how many, in whose words.
	Message string    `json:"message"`
	Affects string    `json:"affects"`
	Remedy  string    `json:"remedy"`
	Since   time.Time `json:"since"`

	// Replica is that of the kind.
	Replica bool `json:"-"`
}

// New is a condition of a kind. A remedy that is empty is the kind's.
func (k Kind) New(site, message, remedy string, since time.Time) Condition {
	return Condition{
		Name: k.Name, Site: site, Summary: k.Summary, Message: message, Affects: k.Affects, Remedy: cmp.Or(remedy, k.Remedy), Since: since, Replica: k.Replica,
	}
}

// Names returns the names of conditions, each once, sorted.
func Names(conditions []Condition) []string {
	out := make([]string, 0, len(conditions))
	for _, c := range conditions {
		out = append(out, c.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Board holds what somebody has found to be the matter, at most one condition of each
// kind. It is safe for concurrent use.
type Board struct {
	site   string
	logger *slog.Logger
	remedy func(error) string

	mu   sync.Mutex
	list []Condition // by name
}

// NewBoard makes a board for a site; empty for every site. remedy returns what can be
// done about an error, empty for what the kind says; it may be nil.
func NewBoard(site string, logger *slog.Logger, remedy func(error) string) *Board {
	if remedy == nil {
		remedy = func(error) string { return "" }
	}
	return &Board{site: site, logger: logger, remedy: remedy}
}

// Set puts a condition on the board, for the reason err, or takes it back if err is nil.
// A condition that comes or ends is logged. One that stays, with whatever words, has
// been there since it came.
func (b *Board) Set(kind Kind, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, found := slices.BinarySearchFunc(b.list, kind.Name, func(c Condition, name string) int { return cmp.Compare(c.Name, name) })
	switch {
	case err == nil && !found:
	case err == nil:
		b.logger.Info("condition ended", slog.String("condition", kind.Name), slog.Duration("lasted", time.Since(b.list[i].Since).Round(time.Millisecond)))
		b.list = slices.Delete(b.list, i, i+1)
	case found:
		next := kind.New(b.site, err.Error(), b.remedy(err), b.list[i].Since)
		if next.Message != b.list[i].Message {
			b.logger.Warn("condition changed", slog.String("condition", kind.Name), slog.Any("error", err), slog.String("remedy", next.Remedy))
		}
		b.list[i] = next
	default:
		next := kind.New(b.site, err.Error(), b.remedy(err), time.Now())
		b.logger.Error("condition", slog.String("condition", kind.Name), slog.Any("error", err), slog.String("affects", next.Affects), slog.String("remedy", next.Remedy))
		b.list = slices.Insert(b.list, i, next)
	}
}

// Conditions returns what is on the board, by name.
func (b *Board) Conditions() []Condition {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.list)
}
