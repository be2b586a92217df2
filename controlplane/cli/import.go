package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/importer"
)

func newImport(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Write a first umagate.yaml from what an API has already",
		Example: `  umagate import openapi openapi.yaml --out umagate.yaml
  umagate import keycloak-enforcer keycloak.json --authorization settings.json
  umagate import keycloak-authorization settings.json
  umagate import quarkus application.properties
  umagate import gatekeeper config.yaml
  umagate import istio policies.yaml --selector app=photos
  umagate import gluu uma_rs_protect.json
  umagate import oxd /opt/oxd-server`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, source := range slices.Concat(specificationImports(), keycloakImports(), gatewayImports()) {
		cmd.AddCommand(source.command(env))
	}
	for _, e := range extensions {
		cmd.AddCommand(e.importCommand(env))
	}
	return cmd
}

// importFlags are what every import has.
type importFlags struct {
	outFlags

	settings   importer.Settings
	resourceBy string
	form       output
}

func (f *importFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.settings.Site, "site", "", "`NAME` of the site (default api)")
	cmd.Flags().StringArrayVar(&f.settings.Hosts, "host", nil, "`HOST` the API answers on; may be given several times")
	cmd.Flags().StringVar(&f.settings.Issuer, "issuer", "", "`URL` of the authorization server")
	f.registerForce(cmd)
	outputFlag(cmd, &f.form, outputText, outputJSON)
}

// importSource is what an import reads.
type importSource struct {
	name, short, long, example string
	// flags adds those that it has beside every import's; may be nil.
	flags func(cmd *cobra.Command, f *importFlags)
	read  func(path string, f *importFlags) (*importer.Draft, error)
}

func (s importSource) command(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use: s.name + " FILE", Short: s.short, Long: s.long + importNotes, Example: s.example,
		Args: cobra.ExactArgs(1),
		RunE: run(func(_ context.Context, args []string) error {
			draft, err := s.read(args[0], &flags)
			return flags.finish(env, draft, err)
		}),
	}
	flags.register(cmd)
	if s.flags != nil {
		s.flags(cmd, &flags)
	}
	return cmd
}

// oneFile adapts an importer of one file.
func oneFile(read func(source string, data []byte, settings importer.Settings) (*importer.Draft, error)) func(string, *importFlags) (*importer.Draft, error) {
	return func(path string, f *importFlags) (*importer.Draft, error) {
		data, err := importer.ReadSource(path)
		if err != nil {
			return nil, err
		}
		draft, err := read(path, data, f.settings)
		if err != nil && !strings.Contains(err.Error(), path) {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return draft, err
	}
}

// importReport is what "import --output json" prints.
type importReport struct {
	// File is the text; empty where --out has it.
	File       string          `json:"file,omitempty"`
	Resources  int             `json:"resources"`
	Conditions int             `json:"conditions"`
	Notes      []importer.Note `json:"notes"`
}

const importNotes = `

The result passes umagate validate as it is. What cannot be written exactly becomes
narrower: a token needs more, or the request is denied. A note on standard error and at
the head of the file says so, with the place and the request. The worst come first: what
is decided differently from the source, then what is narrower, then the rest. Of many
notes of one kind the first few are shown; --output json has all.

deny: true stands where the source cannot be read, or asks for what no token can have,
so that no wider path decides instead.

Exit codes: 0 printed, 1 failed, 64 wrong usage.`

// finish prints the draft, and its notes on Stderr. As JSON it is one document, with
// the file in it unless --out has that.
func (f *importFlags) finish(env Environment, draft *importer.Draft, err error) error {
	if err != nil {
		return err
	}
	if err := draft.Finish(); err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := draft.WriteTo(&text); err != nil {
		return err
	}
	report := importReport{Resources: len(draft.Resources), Notes: append([]importer.Note{}, draft.Notes...)}
	for i := range draft.Resources {
		report.Conditions += len(draft.Resources[i].Conditions)
	}
	if f.form == outputJSON && f.out == "" {
		report.File = text.String()
	} else if err := f.create(env, text.Bytes()); err != nil {
		return err
	}
	if f.form == outputJSON {
		return printJSON(env.Stdout, report)
	}
	for _, shown := range draft.Show() {
		for _, line := range shown.Lines {
			_, _ = fmt.Fprintf(env.Stderr, "note (%s): %s\n", shown.Severity, printable(line))
		}
	}
	_, _ = fmt.Fprintf(env.Stderr, "umagate: %s, %s, %s\n",
		count(report.Resources, "resource"), count(report.Conditions, "condition"), count(len(report.Notes), "note"))
	return nil
}
