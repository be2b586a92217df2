package importer

// noteNarrowed is for what lets pass less than the source does.
func (d *Draft) noteNarrowed(place, format string, args ...any) { d.note(place, format, args...) }

// noteChanged is for what is decided otherwise than the source says.
func (d *Draft) noteChanged(place, format string, args ...any) { d.note(place, format, args...) }
