// Command mangen writes the man pages and the shell completions of umagate into a
// folder, for a release:
//
//	go run ./controlplane/cli/mangen FOLDER
//
// The pages have the date of $SOURCE_DATE_EPOCH, in seconds since 1970.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra/doc"

	"github.com/umagate/umagate/controlplane/cli"
)

func main() {
	if len(os.Args) != 2 {
		_, _ = fmt.Fprintln(os.Stderr, "usage: mangen FOLDER")
		os.Exit(64)
	}
	if err := generate(os.Args[1]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "mangen:", err)
		os.Exit(1)
	}
}

// generate fills folder/man1 and folder/completions.
func generate(folder string) error {
	root := cli.Command(cli.Environment{})
	root.DisableAutoGenTag = true
	root.InitDefaultCompletionCmd()
	pages, completions := filepath.Join(folder, "man1"), filepath.Join(folder, "completions")
	for _, folder := range []string{pages, completions} {
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return err
		}
	}
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "umagate", Manual: "umagate"}, pages); err != nil {
		return fmt.Errorf("the man pages: %w", err)
	}
	for _, shell := range []struct {
		file  string
		write func(path string) error
	}{
		{"umagate.bash", func(path string) error { return root.GenBashCompletionFileV2(path, true) }},
		{"_umagate", root.GenZshCompletionFile},
		{"umagate.fish", func(path string) error { return root.GenFishCompletionFile(path, true) }},
	} {
		if err := shell.write(filepath.Join(completions, shell.file)); err != nil {
			return fmt.Errorf("the completion %s: %w", shell.file, err)
		}
	}
	return nil
}
