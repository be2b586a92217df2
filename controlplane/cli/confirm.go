package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
)

var (
	errNotAsked     = errors.New("there is no terminal to ask on: look at the plan with umagate plan, and carry it out with umagate apply --yes")
	errNotConfirmed = errors.New("not confirmed; nothing was done")
)

// deletions is how many resources may be deleted at a site without the number
// being typed.
func deletions(s *site.Site, flag int) int { return max(s.Sync.MaxDeletions, flag) }

// agree asks about the plan, unless the command line has agreed to it. An error means
// no.
func agree(ctx context.Context, env Environment, full fullPlan, how consent) error {
	many := tooMany(full, how.deletions)
	switch {
	case how.yes:
		return many
	case many != nil:
		return confirmNumber(ctx, env, full.Summary.Delete)
	}
	return confirm(ctx, env)
}

// tooMany names the first site of the plan where more resources would be deleted
// than may be.
func tooMany(full fullPlan, flag int) error {
	for _, s := range full.Sites {
		if n, most := s.plan.Count(reconcile.Delete), deletions(s.of, flag); n > most {
			return fmt.Errorf("site %s: %s would be deleted, and %d may be (sync.max_deletions): %w. If they are meant, add --deletions %d",
				s.Site, count(n, "resource"), most, reconcile.ErrManyDeletions, n)
		}
	}
	return nil
}

// confirm asks on the terminal. An error means no.
func confirm(ctx context.Context, env Environment) error {
	return ask(ctx, env, "Do this? [y/N] ", "y", "yes")
}

// confirmNumber asks for the number of deletions itself.
func confirmNumber(ctx context.Context, env Environment, n int) error {
	question := fmt.Sprintf("This deletes %s, and with them the policies on them. Type %d to do it: ", count(n, "resource"), n)
	return ask(ctx, env, question, strconv.Itoa(n))
}

func ask(ctx context.Context, env Environment, question string, accepted ...string) error {
	if !isTerminal(env.Stdin) {
		return errNotAsked
	}
	if _, err := fmt.Fprint(env.Stderr, question); err != nil {
		return err
	}
	return readAnswer(ctx, env, accepted)
}

// readAnswer waits for a line. Ctrl-C ends the wait; the reading goroutine then
// ends with the process, because a read of a terminal cannot be cancelled.
func readAnswer(ctx context.Context, env Environment, accepted []string) error {
	type typed struct {
		line string
		err  error
	}
	answer := make(chan typed, 1)
	go func() {
		line, err := bufio.NewReader(env.Stdin).ReadString('\n')
		answer <- typed{line, err}
	}()
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(env.Stderr)
		return ctx.Err()
	case t := <-answer:
		for _, a := range accepted {
			if strings.EqualFold(strings.TrimSpace(t.line), a) {
				return nil
			}
		}
		return errNotConfirmed
	}
}
