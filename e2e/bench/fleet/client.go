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

// subscriptions is what an Envoy asks for; wildcard for CDS.
func subscriptions(secrets []string) map[string][]string {
	return map[string][]string{
		resourcev3.ClusterType:         nil,
		resourcev3.ExtensionConfigType: {envoyconf.FilterName},
		resourcev3.SecretType:          secrets,
	}
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
	names := subscriptions(secrets)
	for kind := range names {
		if err := s.Send(&discovery.DiscoveryRequest{Node: node, TypeUrl: kind, ResourceNames: names[kind]}); err != nil {
			return err
		}
	}
	for {
		resp, err := s.Recv()
		if err != nil {
			return err
		}
		err = s.Send(&discovery.DiscoveryRequest{
			TypeUrl: resp.GetTypeUrl(), ResourceNames: names[resp.GetTypeUrl()], ResponseNonce: resp.GetNonce(), VersionInfo: resp.GetVersionInfo(),
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
	for kind, names := range subscriptions(secrets) {
		if err := s.Send(&discovery.DeltaDiscoveryRequest{Node: node, TypeUrl: kind, ResourceNamesSubscribe: names}); err != nil {
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
