package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/umagate/umagate/controlplane/secret"
)

// ErrLocalToken is wrapped by what is wrong with the file of a local token.
var ErrLocalToken = errors.New("the local token's file cannot be used")

// maxLocalToken bounds what is read of the file.
const maxLocalToken = 4096

// LocalToken returns the token in the file at path, which it makes where there is
// none: the commands of this machine's user call with it. made tells that it is
// new. A file that others may read, or that another user has made, is refused.
func LocalToken(path string) (token secret.Text, made bool, err error) {
	token, err = localToken(path, secret.ReadFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, false, err
	}
	// Whole or not there: a command may read it at any moment, and another
	// replica may make it too.
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return secret.Text{}, false, fmt.Errorf("%w: %w", ErrLocalToken, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // it has another name by then
	token = secret.New(rand.Text() + rand.Text())
	_, err = temp.WriteString(token.Reveal() + "\n") // CreateTemp's mode is 0600
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Link(temp.Name(), path)
	}
	switch {
	case errors.Is(err, fs.ErrExist): // another was first
		token, err = localToken(path, secret.ReadFile)
		return token, false, err
	case err != nil:
		return secret.Text{}, false, fmt.Errorf("%w: %w", ErrLocalToken, err)
	}
	return token, true, nil
}

// ReadLocalToken reads the file for a caller, who may be root while the token is another
// user's. Without one, the error is [fs.ErrNotExist].
func ReadLocalToken(path string) (secret.Text, error) {
	return localToken(path, secret.ReadFileOfAnyone)
}

func localToken(path string, read func(path string, most int64) ([]byte, error)) (secret.Text, error) {
	const anew = "or remove it and start umagate serve anew"
	data, err := read(path, maxLocalToken)
	switch {
	case errors.Is(err, secret.ErrFileTooLarge):
		return secret.Text{}, fmt.Errorf("%w: %s is no token", ErrLocalToken, path)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return secret.Text{}, fmt.Errorf("%w: %w", ErrLocalToken, err)
	case err != nil:
		return secret.Text{}, fmt.Errorf("%w: %w, %s", ErrLocalToken, err, anew)
	}
	const shortest = 16
	text := strings.TrimSpace(string(data))
	if len(text) < shortest {
		return secret.Text{}, fmt.Errorf("%w: %s has no token of 16 characters or more in it: remove it and start umagate serve anew", ErrLocalToken, path)
	}
	return secret.New(text), nil
}
