package main

import (
	"context"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/umagate/umagate/controlplane/envoyconf"
)

// subscription is something that an Envoy asks for; no names are a wildcard.
type subscription struct {
	kind  string
	names []string
}

// follows lists what an Envoy asks for next, once it has the first answer of a type: its
// clusters name secrets, its listener names the filter and the routes. "" is the beginning.
func follows(secrets []string) map[string][]subscription {
	return map[string][]subscription{
		"":                      {{kind: resourcev3.ClusterType}, {kind: resourcev3.ListenerType}},
		resourcev3.ClusterType:  {{resourcev3.SecretType, secrets}},
		resourcev3.ListenerType: {{resourcev3.ExtensionConfigType, []string{envoyconf.FilterName}}, {resourcev3.RouteType, []string{envoyconf.ListenerName}}},
	}
}

// subscriptions is what an Envoy with a listener of its own asks for by incremental xDS,
// which has neither listeners nor routes here.
func subscriptions(secrets []string) []subscription {
	return []subscription{{kind: resourcev3.ClusterType}, {resourcev3.ExtensionConfigType, []string{envoyconf.FilterName}}, {resourcev3.SecretType, secrets}}
}

// connect is an Envoy that acknowledges whatever it gets, until ctx ends.
func connect(ctx context.Context, address, id string, delta bool, secrets []string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	defer func() { _ = conn.Close() }()
	node, client := &corev3.Node{Id: id, Cluster: "bench"}, discovery.NewAggregatedDiscoveryServiceClient(conn)
	if delta {
		err = deltaStream(ctx, client, node, secrets)
	} else {
		err = stream(ctx, client, node, secrets)
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s: %w", id, err)
}

func stream(ctx context.Context, client discovery.AggregatedDiscoveryServiceClient, node *corev3.Node, secrets []string) error {
	s, err := client.StreamAggregatedResources(ctx)
	if err != nil {
		return err
	}
	next, names := follows(secrets), map[string][]string{}
	for kind := ""; ; {
		for _, n := range next[kind] {
			names[n.kind] = n.names
			if err := s.Send(&discovery.DiscoveryRequest{Node: node, TypeUrl: n.kind, ResourceNames: n.names}); err != nil {
				return err
			}
		}
		delete(next, kind)
		resp, err := s.Recv()
		if err != nil {
			return err
		}
		kind = resp.GetTypeUrl()
		err = s.Send(&discovery.DiscoveryRequest{
			TypeUrl: kind, ResourceNames: names[kind], ResponseNonce: resp.GetNonce(), VersionInfo: resp.GetVersionInfo(),
		})
		if err != nil {
			return err
		}
	}
}

func deltaStream(ctx context.Context, client discovery.AggregatedDiscoveryServiceClient, node *corev3.Node, secrets []string) error {
	s, err := client.DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	for _, n := range subscriptions(secrets) {
		if err := s.Send(&discovery.DeltaDiscoveryRequest{Node: node, TypeUrl: n.kind, ResourceNamesSubscribe: n.names}); err != nil {
			return err
		}
	}
	for {
		resp, err := s.Recv()
		if err != nil {
			return err
		}
		if err := s.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()}); err != nil {
			return err
		}
	}
}
