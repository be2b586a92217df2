package decision

// Withheld is why a message to an MCP server was not there to be judged, though the host had it.
type Withheld uint8

// The causes.
const (
	// WithheldShown is that the host shows no body before the headers go on.
	WithheldShown Withheld = iota
	// WithheldLength is that it keeps no body that is so long.
	WithheldLength

	// Withhelds is how many there are.
	Withhelds
)

// String returns the cause as metrics name it.
func (c Withheld) String() string { return [...]string{"not_shown", "too_long"}[c&1] }

// Withheld counts a message of a request that has ended without it.
func (w *Worker) Withheld(x *Exchange, cause Withheld) {
	s := &w.unknown
	if x.state != nil {
		s = &x.state.stats
	}
	s.Withheld[cause]++
}
