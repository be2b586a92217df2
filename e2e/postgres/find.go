package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
)

// BinVariable names the environment variable with the folder of PostgreSQL's
// programs, for one that is not where distributions have it.
const BinVariable = "UMAGATE_POSTGRES_BIN"

// ErrNotInstalled says that there is no PostgreSQL server on this machine.
var ErrNotInstalled = errors.New("no PostgreSQL server found: install one (apt-get install postgresql, brew install postgresql), " +
	"or set " + BinVariable + " to the folder that has initdb")

// Find gives the folder of PostgreSQL's programs: that of BinVariable, the newest
// of Debian's, or that of the PATH.
func Find() (string, error) {
	if folder := os.Getenv(BinVariable); folder != "" {
		if !complete(folder) {
			return "", fmt.Errorf("%s=%s has no initdb and postgres", BinVariable, folder)
		}
		return folder, nil
	}
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", fmt.Errorf("looking for PostgreSQL: %w", err)
	}
	version := func(folder string) int {
		n, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
		if err != nil {
			return 0
		}
		return n
	}
	sort.Slice(folders, func(i, j int) bool { return version(folders[i]) > version(folders[j]) })
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			folders = append(folders, filepath.Dir(initdb))
		}
	}
	for _, folder := range folders {
		if complete(folder) {
			return folder, nil
		}
	}
	return "", ErrNotInstalled
}

func complete(folder string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(folder, program)); err != nil {
			return false
		}
	}
	return true
}
