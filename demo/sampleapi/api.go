package sampleapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxBody bounds request bodies.
const maxBody = 1 << 20

// API is the sample API: an http.Handler, safe for concurrent use.
type API struct {
	albums *albums
	mux    *http.ServeMux
}

// New makes the API with the albums of alice (1 and 2) and bob (3).
func New() *API {
	a := &API{albums: newAlbums(), mux: http.NewServeMux()}
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	a.mux.HandleFunc("GET /albums", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, a.albums.list())
	})
	a.mux.HandleFunc("POST /albums", a.postAlbum)
	a.mux.HandleFunc("GET /albums/{id}", a.getAlbum)
	a.mux.HandleFunc("PUT /albums/{id}", a.putAlbum)
	a.mux.HandleFunc("DELETE /albums/{id}", a.deleteAlbum)
	a.mux.HandleFunc("GET /albums/{id}/photos", a.getPhotos)
	a.mux.HandleFunc("POST /albums/{id}/photos", a.postPhoto)
	return a
}

// ServeHTTP implements http.Handler. The echo comes before the mux, which would
// redirect a path that is not clean and so never show it.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if strings.HasPrefix(r.RequestURI, "/echo") || strings.HasPrefix(r.URL.Path, "/echo") {
		echo(w, r)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// Echo is what the echo answers.
type Echo struct {
	Method string `json:"method"`
	// Target is the request target as it stood in the request line.
	Target   string      `json:"target"`
	Host     string      `json:"host"`
	Protocol string      `json:"protocol"`
	Headers  http.Header `json:"headers"`
	Trailers http.Header `json:"trailers,omitempty"`
	Body     string      `json:"body,omitempty"`
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "the body cannot be read: "+err.Error())
		return
	}
	writeJSON(w, http.StatusOK, Echo{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Protocol: r.Proto, Headers: r.Header, Body: string(body),
	})
}

func (a *API) getAlbum(w http.ResponseWriter, r *http.Request) {
	album, ok := a.albums.get(r.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "no such album")
		return
	}
	writeJSON(w, http.StatusOK, album)
}

// postAlbum makes an album under an id that nobody has had.
func (a *API) postAlbum(w http.ResponseWriter, r *http.Request) {
	var body struct{ Owner, Title string }
	if !readJSON(w, r, &body) {
		return
	}
	if body.Owner == "" || body.Title == "" {
		refuse(w, http.StatusBadRequest, "owner and title are needed")
		return
	}
	album, ok := a.albums.add(Album{Owner: body.Owner, Title: body.Title})
	if !ok {
		refuse(w, http.StatusInsufficientStorage, "too many albums")
		return
	}
	w.Header().Set("Location", "/albums/"+album.ID)
	writeJSON(w, http.StatusCreated, album)
}

func (a *API) putAlbum(w http.ResponseWriter, r *http.Request) {
	var body struct{ Owner, Title string }
	if !readJSON(w, r, &body) {
		return
	}
	if body.Owner == "" || body.Title == "" {
		refuse(w, http.StatusBadRequest, "owner and title are needed")
		return
	}
	id := r.PathValue("id")
	created, ok := a.albums.put(Album{ID: id, Owner: body.Owner, Title: body.Title})
	if !ok {
		refuse(w, http.StatusInsufficientStorage, "too many albums")
		return
	}
	album, _ := a.albums.get(id)
	status := http.StatusOK
	if created {
		w.Header().Set("Location", "/albums/"+url.PathEscape(id))
		status = http.StatusCreated
	}
	writeJSON(w, status, album)
}

func (a *API) deleteAlbum(w http.ResponseWriter, r *http.Request) {
	if !a.albums.remove(r.PathValue("id")) {
		refuse(w, http.StatusNotFound, "no such album")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) getPhotos(w http.ResponseWriter, r *http.Request) {
	album, ok := a.albums.get(r.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "no such album")
		return
	}
	writeJSON(w, http.StatusOK, album.Photos)
}

func (a *API) postPhoto(w http.ResponseWriter, r *http.Request) {
	var body struct{ Title string }
	if !readJSON(w, r, &body) {
		return
	}
	if body.Title == "" {
		refuse(w, http.StatusBadRequest, "title is needed")
		return
	}
	id := r.PathValue("id")
	photo, ok := a.albums.addPhoto(id, body.Title)
	if !ok {
		refuse(w, http.StatusNotFound, "no such album, or no room in it")
		return
	}
	w.Header().Set("Location", "/albums/"+url.PathEscape(id)+"/photos/"+photo.ID)
	writeJSON(w, http.StatusCreated, photo)
}

func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		refuse(w, http.StatusBadRequest, "the body is not the JSON that is expected: "+err.Error())
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, status int, why string) {
	writeJSON(w, status, map[string]string{"error": why})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The status is out: a client that has gone is all that can fail here.
	_ = json.NewEncoder(w).Encode(v)
}

// Running is an API that listens.
type Running struct {
	// Address is host:port.
	Address string
	// Stop closes the listener and every connection, and returns when they are. It
	// may be called more than once.
	Stop func()
}

// Start listens on address ("127.0.0.1:0" for a free port) and serves until ctx
// ends or Stop is called. The logger gets what goes wrong with connections; nil is
// none.
func (a *API) Start(ctx context.Context, address string, logger *slog.Logger) (Running, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return Running{}, fmt.Errorf("sample API: listen on %s: %w", address, err)
	}
	serving, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler: a, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	var joined sync.WaitGroup
	joined.Go(func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			logger.LogAttrs(serving, slog.LevelError, "sample API stopped serving", slog.Any("error", err))
		}
	})
	joined.Go(func() {
		<-serving.Done()
		_ = server.Close()
	})
	return Running{
		Address: l.Addr().String(),
		Stop: func() {
			cancel()
			joined.Wait()
		},
	}, nil
}
