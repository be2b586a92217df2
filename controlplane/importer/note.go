package importer

import (
	"fmt"
	"strings"
)

// Severity says what a [Note] means for who may do what.
type Severity string

// The severities, the worst first.
const (
	// Changed: something is decided otherwise than in the source.
	Changed Severity = "changed"
	// Narrowed: less is let pass than in the source.
	Narrowed Severity = "narrowed"
	// Information: who may do what is as in the source.
	Information Severity = "information"
)

// Note is something that was not carried over, or not exactly.
type Note struct {
	Severity Severity `json:"severity"`
	// Place is where it stands in the source, Line in which line of it; 0 is not known.
	Place string `json:"place"`
	Line  int    `json:"line,omitempty"`
	Text  string `json:"text"`

	// kind is the same for notes that say the same of other places.
	kind string
}

func (d *Draft) note(place, format string, args ...any) {
	d.addNote(Information, place, format, args)
}

func (d *Draft) noteNarrowed(place, format string, args ...any) {
	d.addNote(Narrowed, place, format, args)
}

func (d *Draft) noteChanged(place, format string, args ...any) {
	d.addNote(Changed, place, format, args)
}

func (d *Draft) addNote(severity Severity, place, format string, args []any) {
	n := Note{Severity: severity, Place: place, Line: d.lineOf(place), Text: fmt.Sprintf(format, args...), kind: format}
	if !d.noted[n] {
		d.noted[n] = true
		d.Notes = append(d.Notes, n)
	}
}

// at remembers in which line a place stands, and gives the place.
func (d *Draft) at(place string, v *value) string {
	if d.lines == nil {
		d.lines = map[string]int{}
	}
	if v != nil && v.line > 0 {
		d.lines[place] = v.line
	}
	return place
}

// lineOf is the line of a place, or of what it is inside of.
func (d *Draft) lineOf(place string) int {
	for place != "" {
		if line := d.lines[place]; line > 0 {
			return line
		}
		place = place[:max(0, strings.LastIndexAny(place, ".["))]
	}
	return 0
}

// where is the place with its line.
func (n Note) where() string {
	if n.Line == 0 || strings.HasPrefix(n.Place, "line ") {
		return n.Place
	}
	return fmt.Sprintf("%s (line %d)", n.Place, n.Line)
}

// Shown are the notes in the order of their severity, and of those of one kind the
// first few, for a reader: a large document has thousands.
type Shown struct {
	Severity Severity
	Lines    []string

	heading string
}

// Show groups the notes.
func (d *Draft) Show() []Shown {
	var out []Shown
	for _, shown := range []Shown{
		{Severity: Changed, heading: "Decided otherwise than in the source: look at each"},
		{Severity: Narrowed, heading: "Less passes than in the source"},
		{Severity: Information, heading: "For information"},
	} {
		var kinds []string
		grouped := map[string][]Note{}
		for _, n := range d.Notes {
			if n.Severity != shown.Severity {
				continue
			}
			if _, known := grouped[n.kind]; !known {
				kinds = append(kinds, n.kind)
			}
			grouped[n.kind] = append(grouped[n.kind], n)
		}
		for _, kind := range kinds {
			shown.Lines = append(shown.Lines, lines(grouped[kind])...)
		}
		if len(shown.Lines) > 0 {
			out = append(out, shown)
		}
	}
	return out
}

// lines shows notes of one kind, those that say the same in one line.
func lines(notes []Note) []string {
	const most = 3
	var texts []string
	places := map[string][]string{}
	for _, n := range notes {
		if places[n.Text] == nil {
			texts = append(texts, n.Text)
		}
		places[n.Text] = append(places[n.Text], n.where())
	}
	var out []string
	shown := 0
	for _, text := range texts[:min(len(texts), most)] {
		at := places[text]
		where := strings.Join(at[:min(len(at), most)], ", ")
		if more := len(at) - most; more > 0 {
			where += fmt.Sprintf(" and %d more places", more)
		}
		out, shown = append(out, where+": "+text), shown+len(at)
	}
	if more := len(notes) - shown; more > 0 {
		out = append(out, fmt.Sprintf("and %d more of this kind (--output json lists them)", more))
	}
	return out
}
