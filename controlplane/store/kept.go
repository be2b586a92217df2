package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// stamp is a time in the name of what is kept.
func stamp(now time.Time) string { return now.UTC().Format("20060102T150405Z") }

// unused makes something under a name that nothing has yet: name and ending, or with -2,
// -3 … between them. try fails with [fs.ErrExist] where there is something.
func unused(name, ending string, try func(name string) error) (string, error) {
	free := name + ending
	for n := 2; ; n++ {
		err := try(free)
		if !errors.Is(err, fs.ErrExist) {
			return free, err
		}
		free = fmt.Sprintf("%s-%d%s", name, n, ending)
	}
}

// keep gives a file a second name, which no file has yet.
func keep(path, suffix string, now time.Time) (string, error) {
	return unused(path+suffix+stamp(now), "", func(name string) error { return os.Link(path, name) })
}
