package blocks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/cli"
)

// What a sandbox tells the commands in it.
const (
	makefileVariable = "BLOCKS_MAKEFILE"
	personVariable   = "BLOCKS_PERSON"
)

// commands are what sh blocks may call, besides cat and cp. This binary is each of
// them, under a link of that name. Those that are not run for real say why.
var commands = map[string]func(args []string) error{
	"umagate": umagate,
	"curl":    curl,
	// CI runs the targets themselves (.ci/run); here they have to exist.
	"make": makeTargets,
	// Envoy takes the rendered bootstraps in the tests of envoy and e2e/realenvoy; here
	// it is seen that there is one.
	"envoy": envoy,
	// They change the machine, or need what is not here. "make release-check" unpacks
	// and tries what is downloaded.
	"apt-get":   nothing,
	"crane":     nothing,
	"dnf":       nothing,
	"helm":      nothing, // as kubectl
	"istioctl":  nothing, // as kubectl
	"kcadm.sh":  nothing, // e2e/keycloak follows its page at a real Keycloak
	"kubectl":   nothing, // controlplane/kube and e2e/mesh follow their pages at a real API server
	"sha256sum": nothing,
	"systemctl": nothing,
	"tar":       nothing,

	"umagate-controller": nothing, // as kubectl
}

func nothing([]string) error { return nil }

func TestMain(m *testing.M) {
	if command, ok := commands[filepath.Base(os.Args[0])]; ok {
		if err := command(os.Args[1:]); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// special is what a command of umagate needs where nobody sits in front of it.
var special = map[string]struct {
	add   []string // arguments
	codes []int    // exit codes that are as good as 0
}{
	"check":      {codes: []int{cli.ExitDenied}},
	"plan":       {codes: []int{cli.ExitChanges}},
	"apply":      {add: []string{"--yes"}},
	"deregister": {add: []string{"--yes"}},
	"login":      {add: []string{"--browser"}},
	"serve":      {add: []string{"--help"}},                                // the sandbox runs one already
	"agent":      {add: []string{"--check"}, codes: []int{cli.ExitFailed}}, // no Envoy there has anything in force
	"demo":       {add: []string{"--help"}},                                // its own tests run it
}

// shownID is a revocation's id in the documents.
const shownID = "bq5XkA1_pZ0tY6Vn"

func umagate(args []string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	how := special[args[0]]
	env := cli.Environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv, OpenBrowser: callPerson}
	if slices.Contains(args, "--watch") {
		env.Stdout = writer(func(p []byte) (int, error) { defer stop(); return os.Stdout.Write(p) })
	}
	if i := slices.Index(args, shownID); i >= 0 {
		id, err := anyRevocation(ctx, env)
		if err != nil {
			return err
		}
		args[i] = id
	}
	code := cli.Run(ctx, env, append(args, how.add...))
	if code != cli.ExitOK && !slices.Contains(how.codes, code) {
		return fmt.Errorf("umagate %s: exit code %d", strings.Join(args, " "), code)
	}
	return nil
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// callPerson has somebody log in; see sandbox.person.
func callPerson(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv(personVariable), strings.NewReader(url.Values{"address": {address}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	go func() {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	return nil
}

func anyRevocation(ctx context.Context, env cli.Environment) (string, error) {
	var out bytes.Buffer
	env.Stdout = &out
	if code := cli.Run(ctx, env, []string{"revoke", "list", "-o", "json"}); code != cli.ExitOK {
		return "", fmt.Errorf("revoke list: exit code %d", code)
	}
	id := regexp.MustCompile(`"id": *"([^"]+)"`).FindStringSubmatch(out.String())
	if id == nil {
		return "", errors.New("nothing is revoked: " + out.String())
	}
	return id[1], nil
}

// curl understands the flags that the documents use, and fails on an answer that is
// not a success.
func curl(args []string) error {
	flags := flag.NewFlagSet("curl", flag.ContinueOnError)
	method := flags.String("X", "", "")
	data := flags.String("d", "", "")
	header := http.Header{}
	flags.Func("H", "", func(line string) error {
		name, value, _ := strings.Cut(line, ":")
		header.Add(name, strings.TrimSpace(value))
		return nil
	})
	var address string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return err
		}
		if args = flags.Args(); len(args) > 0 {
			address, args = args[0], args[1:]
		}
	}
	if *method == "" && *data != "" {
		*method = http.MethodPost
	}
	if *data != "" && !json.Valid([]byte(*data)) {
		return errors.New("not JSON: " + *data)
	}
	req, err := http.NewRequestWithContext(context.Background(), *method, address, strings.NewReader(*data))
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(os.Stdout, resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = errors.New(resp.Status)
	}
	return err
}

func makeTargets(args []string) error {
	text, err := os.ReadFile(os.Getenv(makefileVariable))
	if err != nil {
		return err
	}
	for _, target := range args {
		name, _, variable := strings.Cut(target, "=")
		declared := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `(:| +\?=)`)
		if !declared.Match(text) {
			return fmt.Errorf("the Makefile has no %s (a variable: %v)", name, variable)
		}
	}
	return nil
}

func envoy(args []string) error {
	flags := flag.NewFlagSet("envoy", flag.ContinueOnError)
	path := flags.String("c", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*path)
	if err != nil {
		return err
	}
	var bootstrap struct {
		Static map[string]any `yaml:"static_resources"`
	}
	if err := yaml.Unmarshal(text, &bootstrap); err != nil {
		return err
	}
	if len(bootstrap.Static) == 0 {
		return errors.New("no static_resources: " + string(text))
	}
	return nil
}
