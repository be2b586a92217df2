package enforcer

import (
	"bufio"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Version is the policy enforcer that the tests run.
const Version = "26.0.8"

// ErrNotInstalled says that it has not been installed on this machine.
var ErrNotInstalled = errors.New("the policy enforcer of Keycloak is not installed: run `make keycloak` (it needs a JDK of 17 or later, and Maven)")

//go:embed *.java
var sources embed.FS

const (
	mainClass = "Enforce"
	// servletVersion is the Tomcat that the enforcer runs in, as an application's filter.
	servletVersion = "10.1.44"
	mavenPlugin    = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
	project        = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>umagate</groupId><artifactId>enforcer</artifactId><version>1</version>
<dependencies><dependency><groupId>org.keycloak</groupId><artifactId>keycloak-policy-enforcer</artifactId><version>` + Version + `</version></dependency>
<dependency><groupId>org.apache.tomcat.embed</groupId><artifactId>tomcat-embed-core</artifactId><version>` + servletVersion + `</version></dependency></dependencies>
</project>
`
)

// home is where it is, or will be, and what is compiled there. Another source or project
// is another one.
func home() (folder string, files map[string][]byte, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, fmt.Errorf("looking for the policy enforcer: %w; set HOME or XDG_CACHE_HOME", err)
	}
	files = map[string][]byte{"pom.xml": []byte(project)}
	sum := sha256.New()
	sum.Write(files["pom.xml"])
	names, err := sources.ReadDir(".")
	if err != nil {
		return "", nil, fmt.Errorf("its sources: %w", err)
	}
	for _, name := range names {
		if files[name.Name()], err = sources.ReadFile(name.Name()); err != nil {
			return "", nil, fmt.Errorf("its sources: %w", err)
		}
		sum.Write(files[name.Name()])
	}
	return filepath.Join(cache, "umagate", "keycloak-enforcer", Version+"-"+hex.EncodeToString(sum.Sum(nil)[:6])), files, nil
}

// Install gets the policy enforcer and compiles what asks it. What is there already
// is kept.
func Install(ctx context.Context, progress io.Writer) error {
	folder, files, err := home()
	if err != nil {
		return err
	}
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	for _, command := range []string{"mvn", "javac"} {
		if _, err := exec.LookPath(command); err != nil {
			return fmt.Errorf("%s is needed to get Keycloak's policy enforcer: %w; install a JDK of 17 or later, and Maven", command, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o750); err != nil {
		return fmt.Errorf("making the folder of the policy enforcer: %w", err)
	}
	temporary, err := os.MkdirTemp(filepath.Dir(folder), ".install-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // temporary files
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(temporary, name), content, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	fmt.Fprintf(progress, "Keycloak's policy enforcer %s: fetching it by Maven\n", Version)
	if err := run(ctx, temporary, "mvn", "--batch-mode", "--quiet", mavenPlugin, "-DincludeScope=runtime", "-DoutputDirectory="+temporary); err != nil {
		return err
	}
	if err := run(ctx, temporary, "javac", "-cp", filepath.Join(temporary, "*"), "-d", temporary, "-sourcepath", temporary, mainClass+".java"); err != nil {
		return err
	}
	if err := os.Rename(temporary, folder); err != nil {
		return fmt.Errorf("placing it: %w", err)
	}
	fmt.Fprintf(progress, "Keycloak's policy enforcer %s: %s\n", Version, folder)
	return nil
}

func run(ctx context.Context, folder, command string, arguments ...string) error {
	c := exec.CommandContext(ctx, command, arguments...) //nolint:gosec // Maven and the compiler of the PATH
	c.Dir = folder
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Process is a running one.
type Process struct {
	command   *exec.Cmd
	questions io.WriteCloser
	answers   *bufio.Reader
	stderr    *tail
}

// tail keeps what was written last.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 8 << 10
	t.text = append(t.text, p...)
	if more := len(t.text) - most; more > 0 {
		t.text = t.text[more:]
	}
	return len(p), nil
}

// Start runs it, or gives [ErrNotInstalled]. Stop ends it.
func Start(ctx context.Context) (*Process, error) {
	folder, _, err := home()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(folder); err != nil {
		return nil, ErrNotInstalled
	}
	classes := folder + string(os.PathListSeparator) + filepath.Join(folder, "*")
	p := &Process{command: exec.CommandContext(ctx, "java", "-XX:TieredStopAtLevel=1", "-cp", classes, mainClass), stderr: &tail{}} //nolint:gosec // Java of the PATH
	p.command.Stderr = p.stderr
	if p.questions, err = p.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("its input: %w", err)
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("its output: %w", err)
	}
	p.answers = bufio.NewReader(out)
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting the policy enforcer: %w", err)
	}
	return p, nil
}

// Stop ends it.
func (p *Process) Stop() error {
	return errors.Join(p.questions.Close(), p.command.Wait())
}

// What the answers have beside indexes.
const (
	None  = -1
	Fault = -2
)

// Match asks which of the paths Keycloak's matcher takes for each target.
func (p *Process) Match(paths, targets []string) ([]int, error) {
	return p.ask(map[string]any{"paths": paths, "targets": targets})
}

// Request is a request that the policy enforcer is asked about.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Permissions are those of the token; nil is no token.
	Permissions []Permission `json:"permissions,omitzero"`
}

// Permission is one of a token.
type Permission struct {
	ResourceID string   `json:"rsid"`
	Scopes     []string `json:"scopes"`
}

// Enforce asks for each request whether the enforcer lets it pass (1), or not (0,
// or Fault).
func (p *Process) Enforce(config any, requests []Request) ([]int, error) {
	return p.ask(map[string]any{"config": config, "requests": requests})
}

// Serve runs a servlet behind the enforcer, as an application's filter, until the process
// ends: what it lets pass is answered with 200. It asks the Keycloak of the
// configuration. The answer is its address.
func (p *Process) Serve(config any) (string, error) {
	ports, err := p.ask(map[string]any{"serve": config})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("http://127.0.0.1:%d", ports[0]), nil
}

func (p *Process) ask(question any) ([]int, error) {
	line, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("writing a question: %w", err)
	}
	if _, err := p.questions.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("asking: %w: %s", err, p.stderr.text)
	}
	text, err := p.answers.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the answer: %w: %s", err, p.stderr.text)
	}
	var answer []int
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	return answer, nil
}
