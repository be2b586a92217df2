package keycloak

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/umagate/umagate/e2e/process"
)

// DefaultVersion is the Keycloak that the tests run on; CompatibleVersion is the
// oldest one that the project promises to work with.
const (
	DefaultVersion    = "26.7.3"
	CompatibleVersion = "26.0.7"
)

// ErrNotInstalled says that a version has not been installed on this machine.
var ErrNotInstalled = errors.New("keycloak is not installed")

//go:embed realm/umagate-realm.json
var realmDocument []byte

const (
	mavenPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
	// maxFileBytes bounds one file that is unpacked.
	maxFileBytes = 1 << 30
)

// Installation is a built Keycloak with a database that has the realm.
type Installation struct {
	Version string
	// home is the distribution, seed the data folder that each run copies.
	home, seed string
}

// Commands is the folder of Keycloak's own programs, such as kcadm.sh.
func (i Installation) Commands() string { return filepath.Join(i.home, "bin") }

// Find returns the installation of a version, or [ErrNotInstalled].
func Find(version string) (Installation, error) {
	installation, err := locate(version)
	if err != nil {
		return Installation{}, err
	}
	if _, err := os.Stat(installation.seed); err != nil {
		return Installation{}, fmt.Errorf("%w: version %s: run `make keycloak` (it needs Java 17 or later, and Maven)", ErrNotInstalled, version)
	}
	return installation, nil
}

// locate says where an installation is, or will be.
func locate(version string) (Installation, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Installation{}, fmt.Errorf("looking for Keycloak: %w; set HOME or XDG_CACHE_HOME", err)
	}
	folder := filepath.Join(cache, "umagate", "keycloak", version)
	// A realm document that has changed needs a new seed, and only that.
	sum := sha256.Sum256(realmDocument)
	return Installation{
		Version: version,
		home:    filepath.Join(folder, "keycloak-"+version),
		seed:    filepath.Join(folder, "seed-"+hex.EncodeToString(sum[:6])),
	}, nil
}

// Install makes a version ready to run, and tells progress what it does. What
// is there already is kept. It needs Maven and Java on the PATH, and minutes
// rather than seconds. Only one Install at a time may run for a user.
func Install(ctx context.Context, version string, progress io.Writer) (Installation, error) {
	installation, err := locate(version)
	if err != nil {
		return Installation{}, err
	}
	if _, err := Find(version); err == nil {
		return installation, nil
	}
	if err := os.MkdirAll(filepath.Dir(installation.home), 0o750); err != nil {
		return Installation{}, fmt.Errorf("making the folder of Keycloak: %w", err)
	}
	if _, err := os.Stat(installation.home); err != nil {
		if err := installation.fetchAndBuild(ctx, progress); err != nil {
			return Installation{}, fmt.Errorf("installing Keycloak %s: %w", version, err)
		}
	}
	fmt.Fprintf(progress, "Keycloak %s: importing the realm\n", version)
	if err := installation.makeSeed(ctx); err != nil {
		return Installation{}, fmt.Errorf("importing the realm into Keycloak %s: %w", version, err)
	}
	fmt.Fprintf(progress, "Keycloak %s: %s\n", version, installation.home)
	return installation, nil
}

// fetchAndBuild unpacks and builds beside the final place, and moves it there
// when it is whole.
func (i Installation) fetchAndBuild(ctx context.Context, progress io.Writer) error {
	maven, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("maven is needed to get Keycloak: %w; install it (and Java 17 or later)", err)
	}
	temporary, err := os.MkdirTemp(filepath.Dir(i.home), ".install-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // temporary files
	fmt.Fprintf(progress, "Keycloak %s: fetching it by Maven\n", i.Version)
	fetch := exec.CommandContext(ctx, maven, "--batch-mode", "--quiet", mavenPlugin, //nolint:gosec // Maven of the PATH
		"-Dartifact=org.keycloak:keycloak-quarkus-dist:"+i.Version+":zip", "-DoutputDirectory="+temporary)
	fetch.Dir = temporary // not a folder that has a pom.xml
	if out, err := fetch.CombinedOutput(); err != nil {
		return fmt.Errorf("maven: %w: %s", err, process.LastLines(out))
	}
	if err := unpack(filepath.Join(temporary, "keycloak-quarkus-dist-"+i.Version+".zip"), temporary); err != nil {
		return err
	}
	fmt.Fprintf(progress, "Keycloak %s: building it\n", i.Version)
	home := filepath.Join(temporary, filepath.Base(i.home))
	build := exec.CommandContext(ctx, "java", javaArguments(home, home, "build", "--db=dev-file")...) //nolint:gosec // Java of the PATH
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building: %w: %s", err, process.LastLines(out))
	}
	if err := os.Rename(home, i.home); err != nil {
		return fmt.Errorf("placing it: %w", err)
	}
	return nil
}

// makeSeed runs Keycloak once to import the realm, and keeps its data.
func (i Installation) makeSeed(ctx context.Context) error {
	temporary, err := os.MkdirTemp(filepath.Dir(i.home), ".seed-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // temporary files
	documents := filepath.Join(temporary, "data", "import")
	if err := os.MkdirAll(documents, 0o750); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(documents, Realm+"-realm.json"), realmDocument, 0o600); err != nil {
		return fmt.Errorf("writing the realm: %w", err)
	}
	server := &Server{Installation: i, home: temporary}
	if err := server.run(ctx, "--import-realm"); err != nil {
		return err
	}
	server.child.Stop(syscall.SIGTERM)
	if err := os.Rename(filepath.Join(temporary, "data"), i.seed); err != nil {
		return fmt.Errorf("placing the seed: %w", err)
	}
	return nil
}

// unpack extracts a zip archive. [os.Root] keeps every name inside the folder.
func unpack(archive, folder string) error {
	reader, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("opening the distribution: %w", err)
	}
	defer reader.Close() //nolint:errcheck // only read from
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing is lost
	for _, file := range reader.File {
		if err := unpackOne(root, file); err != nil {
			return fmt.Errorf("unpacking %s: %w", file.Name, err)
		}
	}
	return nil
}

func unpackOne(root *os.Root, file *zip.File) error {
	name := filepath.FromSlash(strings.TrimSuffix(file.Name, "/"))
	if file.FileInfo().IsDir() {
		return root.MkdirAll(name, 0o750)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	from, err := file.Open()
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // only read from
	to, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, file.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.LimitReader(from, maxFileBytes))
	return errors.Join(err, to.Close())
}
