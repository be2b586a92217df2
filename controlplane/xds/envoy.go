package xds

import (
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/umagate/umagate/controlplane/printable"
)

// Envoy is what is known of one Envoy. Those that share a node id are told apart by
// their address as long as they are connected.
type Envoy struct {
	NodeID  string `json:"node_id"`
	Cluster string `json:"cluster,omitempty"`
	// Group is the one whose configuration it gets.
	Group string `json:"group"`
	// Version is what Envoy says of itself, such as "1.40.0".
	Version string `json:"envoy_version,omitempty"`
	Address string `json:"address,omitempty"`
	// Bootstrap is what the bootstrap that it started with says of itself, by
	// "umagate render bootstrap"; empty for one that was written otherwise.
	Bootstrap string `json:"bootstrap,omitempty"`
	// Certificate lists the names in its client certificate, which was verified.
	Certificate []string `json:"certificate,omitempty"`
	// Connected: it has at least one stream; ConnectedSince is when the first of
	// them began. DisconnectedAt is when the last one ended.
	Connected      bool      `json:"connected"`
	ConnectedSince time.Time `json:"connected_since,omitzero"`
	DisconnectedAt time.Time `json:"disconnected_at,omitzero"`
	// Types has those that it subscribes to.
	Types map[Type]State `json:"types"`
	// ReportedAt is when it last said what it counts; zero for one whose bootstrap has no
	// stats sink to here: how its calls end is not known then.
	ReportedAt time.Time `json:"reported_at,omitzero"`
	// Module is the filter's module that it runs; nil where it has not reported one. Its
	// build is empty where it has had two, and has not been given anything since.
	Module *Module `json:"module,omitempty"`
	// Failing are its calls to authorization servers that fail.
	Failing []Calls `json:"failing,omitempty"`
	// Trapped is what it reports of VMs of the filter that broke off lately.
	Trapped *Traps `json:"trapped,omitempty"`
	// Clock is how its clock differs from this host's; nil where it does not, or is not known.
	Clock *Clock `json:"clock,omitempty"`
	// Stale are its sites whose tokens are believed while the AS cannot be asked.
	Stale []Stale `json:"stale,omitempty"`
	// Withheld are messages to MCP servers that it had and that were not judged, lately.
	Withheld []Withheld `json:"withheld,omitempty"`
}

// State is how far an Envoy has come with one type.
type State struct {
	// Sent is the version last sent, Acknowledged the one it accepted last.
	Sent         string    `json:"sent,omitempty"`
	SentAt       time.Time `json:"sent_at,omitzero"`
	Acknowledged string    `json:"acknowledged,omitempty"`
	AckedAt      time.Time `json:"acknowledged_at,omitzero"`
	// Refused is a version it did not accept, with its error message; empty when it has
	// accepted or was sent another since.
	Refused      string    `json:"refused,omitempty"`
	ErrorMessage string    `json:"words,omitempty"`
	RefusedAt    time.Time `json:"refused_at,omitzero"`
}

// Rejected is an Envoy that gets nothing, and goes on trying: no group has it, or Reason is
// why its TLS handshake failed. Then only its address is known, without the port.
type Rejected struct {
	NodeID      string    `json:"node_id"`
	Reason      string    `json:"reason,omitempty"`
	Cluster     string    `json:"cluster,omitempty"`
	Address     string    `json:"address,omitempty"`
	Certificate []string  `json:"certificate,omitempty"`
	Since       time.Time `json:"since"`
	Last        time.Time `json:"last"`
	Attempts    int       `json:"attempts"`
}

// Refusals counts how often Envoys of a group refused something of a type.
type Refusals struct {
	Group string
	Type  Type
	Count uint64
}

func envoyVersion(node *corev3.Node) string {
	v := node.GetUserAgentBuildVersion().GetVersion()
	if v == nil {
		return clip(node.GetUserAgentVersion())
	}
	return fmt.Sprintf("%d.%d.%d", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch())
}

// bootstrapOf reads umagate.bootstrap in the metadata of a node.
func bootstrapOf(node *corev3.Node) string {
	own := node.GetMetadata().GetFields()["umagate"].GetStructValue()
	return clip(own.GetFields()["bootstrap"].GetStringValue())
}

// clipAll makes a line of each of the first names of a certificate.
func clipAll(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), maxNames)] {
		out = append(out, clip(s))
	}
	return out
}

// clip makes one line of what a peer said.
func clip(s string) string { return printable.Line(s, maxText) }
