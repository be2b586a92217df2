package sampleapi

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Album is a person's collection of photos.
type Album struct {
	ID     string  `json:"id"`
	Owner  string  `json:"owner"`
	Title  string  `json:"title"`
	Photos []Photo `json:"photos"`
}

// Photo is one picture of an album; the picture itself is left out.
type Photo struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}

// maxEntries bounds the albums, and the photos of one album.
const maxEntries = 10_000

// albums is the store. It is safe for concurrent use. What is returned is a copy.
type albums struct {
	mu   sync.RWMutex
	last int // id that was given out
	byID map[string]Album
}

func newAlbums() *albums {
	a := &albums{byID: map[string]Album{}}
	for _, album := range []Album{
		{ID: "1", Owner: "alice", Title: "Lofoten in March", Photos: []Photo{{"1", "Reine at dawn"}, {"2", "Cod on the racks"}}},
		{ID: "2", Owner: "alice", Title: "The garden", Photos: []Photo{{"1", "First peas"}}},
		{ID: "3", Owner: "bob", Title: "Bicycle rebuild", Photos: []Photo{{"1", "Frame, stripped"}, {"2", "New bottom bracket"}}},
	} {
		a.byID[album.ID] = album
	}
	return a
}

func (a *albums) list() []Album {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := make([]Album, 0, len(a.byID))
	for _, album := range a.byID {
		list = append(list, album.clone())
	}
	slices.SortFunc(list, func(x, y Album) int { return strings.Compare(x.ID, y.ID) })
	return list
}

func (a *albums) get(id string) (Album, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	album, ok := a.byID[id]
	return album.clone(), ok
}

// add sets the album's id. It reports whether there was room.
func (a *albums) add(album Album) (Album, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.byID) >= maxEntries {
		return Album{}, false
	}
	for taken := true; taken; _, taken = a.byID[album.ID] {
		a.last++
		album.ID = strconv.Itoa(a.last)
	}
	album.Photos = []Photo{}
	a.byID[album.ID] = album
	return album, true
}

// put creates or replaces an album and keeps its photos. The first value tells
// that it is new, the second is false when there is no room.
func (a *albums) put(album Album) (created, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, exists := a.byID[album.ID]
	if !exists && len(a.byID) >= maxEntries {
		return false, false
	}
	album.Photos = old.Photos
	a.byID[album.ID] = album
	return !exists, true
}

func (a *albums) remove(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.byID[id]
	delete(a.byID, id)
	return ok
}

// addPhoto sets the photo's id. It fails when there is no such album, or no
// room in it.
func (a *albums) addPhoto(id, title string) (Photo, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	album, ok := a.byID[id]
	if !ok || len(album.Photos) >= maxEntries {
		return Photo{}, false
	}
	photo := Photo{ID: strconv.Itoa(len(album.Photos) + 1), Title: title}
	album.Photos = append(slices.Clone(album.Photos), photo)
	a.byID[id] = album
	return photo, true
}

func (a Album) clone() Album {
	a.Photos = append([]Photo{}, a.Photos...)
	return a
}
