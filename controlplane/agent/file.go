package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
)

// Why a file is not used.
var (
	ErrDamaged = errors.New("it is damaged, or was sealed with another key")
	ErrOther   = errors.New("it was kept for another Envoy")
	ErrTooOld  = errors.New("it is too old")
	ErrFuture  = errors.New("it is of a time to come: this machine's clock is behind")
)

const (
	format = 1
	// ahead is how far a clock may have been put back.
	ahead = 5 * time.Minute
	// maxFile bounds what is read, in bytes.
	maxFile = 512 << 20
)

// identity is what the control plane chooses an Envoy's group by.
type identity struct {
	NodeID  string `json:"node_id"`
	Cluster string `json:"cluster"`
	// Metadata is JSON, without what the bootstrap says of itself.
	Metadata string `json:"metadata,omitempty"`
	// Certificate has the names in the client certificate.
	Certificate string `json:"certificate,omitempty"`
}

func identityOf(node *corev3.Node, names []string) (identity, error) {
	out := identity{NodeID: node.GetId(), Cluster: node.GetCluster(), Certificate: strings.Join(names, " ")}
	own := map[string]*structpb.Value{}
	for key, value := range node.GetMetadata().GetFields() {
		if key != "umagate" {
			own[key] = value
		}
	}
	if len(own) == 0 {
		return out, nil
	}
	text, err := protojson.Marshal(&structpb.Struct{Fields: own})
	if err != nil {
		return out, fmt.Errorf("the metadata of the node: %w", err)
	}
	var compact bytes.Buffer // protojson's own spaces differ from build to build
	err = json.Compact(&compact, text)
	out.Metadata = compact.String()
	return out, err
}

// Held is what a file says of itself.
type Held struct {
	identity

	Group   string `json:"group"`
	Version string `json:"version"`
	// AsOf is when the control plane had nothing newer, to a minute.
	AsOf time.Time `json:"as_of"`
}

// header is the first line of a file, in plain text. What follows is sealed for it.
type header struct {
	Format int `json:"umagate_last_good"`
	Held
}

// file is what is kept beside an Envoy.
type file struct {
	path   string
	sealer *seal.Sealer
	owner  identity
	maxAge time.Duration
	now    func() time.Time
}

// place is what the content is sealed for: a header of another file opens nothing.
func place(line []byte) string { return "last good\x00" + string(line) }

// save puts a file in the place of the one before, whole or not at all.
func (f *file) save(held Held, resources []*anypb.Any) error {
	held.identity = f.owner
	line, err := json.Marshal(header{format, held})
	if err != nil {
		return fmt.Errorf("encode %s: %w", f.path, err)
	}
	content, err := proto.Marshal(&discovery.DiscoveryResponse{Resources: resources})
	if err != nil {
		return fmt.Errorf("encode %s: %w", f.path, err)
	}
	text := append(bytes.Clone(line), '\n')
	text = append(text, f.sealer.Seal(place(line), secret.New(string(content)))...)
	temp, err := os.CreateTemp(filepath.Dir(f.path), ".last-good-") // of mode 0600
	if err != nil {
		return fmt.Errorf("keep %s: %w", f.path, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("keep %s: %w", f.path, err)
	}
	if err := os.Rename(temp.Name(), f.path); err != nil {
		return fmt.Errorf("keep %s: %w", f.path, err)
	}
	return nil
}

// load reads the file and refuses what may not be served.
func (f *file) load() (held Held, resources []*anypb.Any, err error) {
	refuse := func(reason error) (Held, []*anypb.Any, error) { return held, nil, fmt.Errorf("%s: %w", f.path, reason) }
	text, err := secret.ReadFile(f.path, maxFile)
	if errors.Is(err, secret.ErrFileTooLarge) {
		return refuse(ErrDamaged)
	}
	if err != nil {
		return held, nil, err
	}
	line, sealed, _ := bytes.Cut(text, []byte("\n"))
	plain, err := f.sealer.Open(place(line), sealed)
	if err != nil || plain.IsZero() {
		return refuse(ErrDamaged)
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil || h.Format != format {
		return refuse(fmt.Errorf("it is not of format %d: another release of umagate has written it", format))
	}
	held = h.Held
	if held.identity != f.owner {
		return refuse(fmt.Errorf("%w: %+v, and this one is %+v", ErrOther, held.identity, f.owner))
	}
	if err := f.judgeAge(held.AsOf); err != nil {
		return refuse(err)
	}
	var content discovery.DiscoveryResponse
	if err := proto.Unmarshal([]byte(plain.Reveal()), &content); err != nil {
		return refuse(ErrDamaged)
	}
	return held, content.GetResources(), nil
}

func (f *file) judgeAge(asOf time.Time) error {
	switch age := f.now().Sub(asOf); {
	case age > f.maxAge:
		return fmt.Errorf("%w: it is of %s, and may be %s old (--max-age)", ErrTooOld, asOf.UTC().Format(time.RFC3339), f.maxAge)
	case age < -ahead:
		return fmt.Errorf("%w: it is of %s", ErrFuture, asOf.UTC().Format(time.RFC3339))
	default:
		return nil
	}
}

// remove takes the file away.
func (f *file) remove() error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", f.path, err)
	}
	return nil
}
