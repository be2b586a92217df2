package mesh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/umagate/umagate/e2e/process"
)

// readyTimeout bounds the start of one program, on a machine that does much else.
const readyTimeout = 3 * time.Minute

// ErrExited says that a program ended by itself.
var ErrExited = errors.New("it exited")

// command is a program to run in a folder, whose log is there, too.
type command struct {
	tools     Tools
	program   Program
	folder    string
	arguments []string
	variables []string // of the environment, beyond this process's
}

func (c command) log() string { return filepath.Join(c.folder, string(c.program)+".log") }

// start runs it until it is stopped, and returns when it is ready.
func (c command) start(ctx context.Context, ready func(context.Context) bool) (*process.Child, error) {
	// It outlives the context of the Start function, and ends by Stop.
	cmd := exec.Command(c.tools.Path(c.program), c.arguments...) //nolint:gosec,noctx // what Build has built
	cmd.Dir = c.folder
	cmd.Env = append(append(os.Environ(), "HOME="+c.folder), c.variables...)
	cmd.SysProcAttr = childAttributes()
	child, err := process.Start(cmd, c.log())
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", c.program, err)
	}
	if err := child.Await(ctx, readyTimeout, ErrExited, ready); err != nil {
		child.Kill()
		return nil, fmt.Errorf("starting %s: %w\n%s", c.program, err, process.LastWords(c.log()))
	}
	return child, nil
}

// freePorts are ports of loopback that nothing uses.
func freePorts(ctx context.Context, count int) ([]int, error) {
	ports := make([]int, count)
	for i := range ports {
		var err error
		if ports[i], err = process.FreePort(ctx); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// answers reports whether a URL is answered with 200.
func answers(ctx context.Context, client *http.Client, url, bearer string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// newToken is a credential that no other process knows.
func newToken() string { return rand.Text() }
