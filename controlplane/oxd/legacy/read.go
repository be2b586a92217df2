package legacy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ErrNothing says that the folder has neither a configuration nor entries of oxd-server.
var ErrNothing = errors.New("there is no oxd-conf.json, oxd-server.yml or RP entry in this folder: name the folder of oxd-server, or its conf folder")

// Note is something that was not carried over, or not exactly.
type Note struct {
	// Place is a file or an oxd_id.
	Place string `json:"place"`
	Text  string `json:"text"`
}

// Found is what an oxd-server leaves behind.
type Found struct {
	Settings Settings
	Entries  []Entry
	Notes    []Note
}

const (
	maxFile  = 8 << 20
	maxFiles = 20_000
)

func (f *Found) note(place, format string, args ...any) {
	n := Note{Place: place, Text: fmt.Sprintf(format, args...)}
	if !slices.Contains(f.Notes, n) {
		f.Notes = append(f.Notes, n)
	}
}

// Read reads a folder and those below it: oxd-server's configuration of 3.x and 4.x,
// and RP entries in files of JSON, one or several in a file, in whatever lsox.sh
// prints around them.
func Read(folder fs.FS) (*Found, error) {
	f := &Found{}
	files, configured := 0, false
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		if files++; files > maxFiles {
			return fmt.Errorf("more than %d files: name the folder of oxd-server alone", maxFiles)
		}
		base := path.Base(name)
		if strings.HasSuffix(base, ".mv.db") || strings.HasSuffix(base, ".h2.db") {
			f.note(name, "an H2 database cannot be read: print each RP with oxd-server stopped, bin/lsox.sh -l and then "+
				"bin/lsox.sh -oxd_id ID > rps/ID.json, and import again")
			return nil
		}
		kind := kindOf(base)
		if kind == other || !d.Type().IsRegular() {
			return nil
		}
		data, err := readFile(folder, name)
		if err != nil {
			return err
		}
		if kind == entries {
			return f.readEntries(name, data)
		}
		configured = true
		return f.readConfiguration(name, kind, data)
	})
	if err != nil {
		return nil, err
	}
	if !configured && len(f.Entries) == 0 {
		return nil, ErrNothing
	}
	f.link()
	return f, nil
}

type kind int

const (
	other kind = iota
	serverJSON
	siteJSON
	serverYAML
	entries
)

func kindOf(base string) kind {
	switch base {
	case "oxd-conf.json":
		return serverJSON
	case "oxd-default-site-config.json", "oxd-default-site-conf.json":
		return siteJSON
	case "oxd-server.yml", "oxd-server.yaml":
		return serverYAML
	}
	if slices.Contains([]string{".json", ".jsonl", ".txt"}, path.Ext(base)) {
		return entries
	}
	return other
}

func readFile(folder fs.FS, name string) ([]byte, error) {
	file, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return data, err
}

// readEntries takes every JSON object that is an RP.
func (f *Found) readEntries(name string, data []byte) error {
	for {
		at := bytes.IndexAny(data, "{[")
		if at < 0 {
			return nil
		}
		decoder := json.NewDecoder(bytes.NewReader(data[at:]))
		var raw json.RawMessage
		if decoder.Decode(&raw) != nil {
			data = data[at+1:] // text around the JSON
			continue
		}
		data = data[at+int(decoder.InputOffset()):]
		list := []json.RawMessage{raw}
		if raw[0] == '[' && json.Unmarshal(raw, &list) != nil {
			continue
		}
		for _, one := range list {
			if err := f.readEntry(name, one); err != nil {
				return err
			}
		}
	}
}

// link tells of an entry whose setup client is not there.
func (f *Found) link() {
	slices.SortFunc(f.Entries, func(a, b Entry) int { return strings.Compare(a.RP.ID, b.RP.ID) })
	for i := range f.Entries {
		e := &f.Entries[i]
		if setup := e.RP.SetupOxdID; setup != "" && !slices.ContainsFunc(f.Entries, func(o Entry) bool { return o.RP.ID == setup }) {
			f.note(e.RP.ID, "its setup client %s is not among the entries: its commands are refused until that is imported too", setup)
		}
	}
}
