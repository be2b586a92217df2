package envoyconf

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"sort"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	injectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	oauth2v3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/oauth2/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

const (
	injectorName = "envoy.filters.http.credential_injector"
	genericName  = "envoy.http.injected_credentials.generic"
	oauth2Name   = "envoy.http.injected_credentials.oauth2"
)

// sdsInjector takes a credential from the control plane by SDS.
func sdsInjector(in Input, s *site.Site, credential as.Credential) (*hcmv3.HttpFilter, error) {
	name := site.PATSecret(s.Name)
	if credential == as.CredentialClient {
		name = site.IntrospectionSecret(s.Name)
	}
	return injectorFilter(genericName, &genericv3.Generic{
		Credential: in.secret(name),
	})
}

// staticInjector takes the client's credential from the bootstrap's own secrets.
func staticInjector(s *site.Site) (*hcmv3.HttpFilter, error) {
	return injectorFilter(genericName, &genericv3.Generic{
		Credential: &tlsv3.SdsSecretConfig{Name: site.IntrospectionSecret(s.Name)},
	})
}

// patInjector makes Envoy ask the AS for the PAT, and renew it.
func patInjector(in Input, s *site.Site) (*hcmv3.HttpFilter, error) {
	client := &oauth2v3.OAuth2_ClientCredentials{
		ClientId:     s.AuthorizationServer.Client.ID,
		ClientSecret: &tlsv3.SdsSecretConfig{Name: clientSecret(s.Name)},
		AuthType:     oauth2v3.OAuth2_URL_ENCODED_BODY,
	}
	switch {
	case staticCertificate(s) != nil:
		client.AuthType, client.ClientSecret = oauth2v3.OAuth2_TLS_CLIENT_AUTH, nil
	case basicToken(s):
		// Envoy 1.40 sends the secret in the body for BASIC_AUTH too, and an AS may
		// refuse what the client has not registered. So Envoy is told to send no
		// secret, and the token cluster adds the header. Envoy 1.36 does not know
		// this type, and refuses the bootstrap: "umagate render envoy --help" says so.
		client.AuthType, client.ClientSecret = oauth2v3.OAuth2_TLS_CLIENT_AUTH, nil
	}
	return injectorFilter(oauth2Name, &oauth2v3.OAuth2{
		TokenEndpoint: &corev3.HttpUri{
			Uri:              tokenEndpoint(in, s),
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: tokenCluster(s.Name)},
			Timeout:          duration(s.AuthorizationServer.Timeout),
		},
		Scopes:   in.Facts[s.Name].PATScopes,
		FlowType: &oauth2v3.OAuth2_ClientCredentials_{ClientCredentials: client},
	})
}

// basicToken reports that the client authenticates with client_secret_basic.
func basicToken(s *site.Site) bool {
	return s.AuthorizationServer.Client.TokenEndpointAuthMethod == clientauth.SecretBasic
}

// staticCertificate names the client's certificate in the bootstrap's own secrets;
// nil where the client has none.
func staticCertificate(s *site.Site) *tlsv3.SdsSecretConfig {
	if !s.AuthorizationServer.Client.TokenEndpointAuthMethod.UsesTLS() {
		return nil
	}
	return &tlsv3.SdsSecretConfig{Name: site.CertificateSecret(s.Name)}
}

func injectorFilter(name string, credential proto.Message) (*hcmv3.HttpFilter, error) {
	packed, err := pack(credential)
	if err != nil {
		return nil, err
	}
	return httpFilter(injectorName, &injectorv3.CredentialInjector{
		// Nothing that came with the call may stand in for the credential.
		Overwrite:  true,
		Credential: &corev3.TypedExtensionConfig{Name: name, TypedConfig: packed},
	})
}

func httpFilter(name string, m proto.Message) (*hcmv3.HttpFilter, error) {
	packed, err := pack(m)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}, nil
}

// Credentials are a site's secrets as SDS delivers them: each the whole value of
// an Authorization header ("Bearer …", "Basic …"). A zero one is not sent.
type Credentials struct {
	// Introspection is the client's credential, see [Basic].
	Introspection secret.Text
	// PAT is "Bearer " and the PAT, see [Bearer].
	PAT secret.Text
	// Certificate is the client's own, where it authenticates with one (RFC 8705).
	Certificate ClientCertificate
	// SigningKey is shown to the control plane for the key of internal tokens, see [Bearer].
	SigningKey secret.Text
}

// ClientCertificate is a certificate with its key, both in PEM.
type ClientCertificate struct {
	Chain string
	Key   secret.Text
}

// IsZero reports that there is none.
func (c ClientCertificate) IsZero() bool { return c.Chain == "" }

// Secrets are the SDS resources of the sites' credentials, sorted by name.
func Secrets(credentials map[string]Credentials) []*tlsv3.Secret {
	var out []*tlsv3.Secret
	for name, c := range credentials {
		if !c.Introspection.IsZero() {
			out = append(out, genericSecret(site.IntrospectionSecret(name), c.Introspection))
		}
		if !c.PAT.IsZero() {
			out = append(out, genericSecret(site.PATSecret(name), c.PAT))
		}
		if !c.SigningKey.IsZero() {
			out = append(out, genericSecret(site.SigningKeySecret(name), c.SigningKey))
		}
		if !c.Certificate.IsZero() {
			out = append(out, certificateSecret(site.CertificateSecret(name), c.Certificate))
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].GetName() < out[j].GetName() })
	return out
}

func certificateSecret(name string, c ClientCertificate) *tlsv3.Secret {
	inline := func(text string) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}
	}
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(c.Chain), PrivateKey: inline(c.Key.Reveal()),
	}}}
}

func genericSecret(name string, value secret.Text) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
		Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: value.Reveal()}},
	}}}
}

// Basic is the Authorization header of client_secret_basic. Both parts are
// form-encoded first (RFC 6749 section 2.3.1).
func Basic(clientID string, clientSecret secret.Text) secret.Text {
	pair := url.QueryEscape(clientID) + ":" + url.QueryEscape(clientSecret.Reveal())
	return secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(pair)))
}

// Bearer is the Authorization header of a PAT (RFC 6750 section 2.1).
func Bearer(token secret.Text) secret.Text {
	if token.IsZero() {
		return secret.Text{}
	}
	return secret.New("Bearer " + token.Reveal())
}

// clientSecret names the bare client_secret in a static bootstrap.
func clientSecret(name string) string { return "umagate/" + name + "/client_secret" }

// tokenCluster names the cluster of the token endpoint in a static bootstrap.
func tokenCluster(name string) string { return "umagate/" + name + "/token" }

func tokenEndpoint(in Input, s *site.Site) string {
	if u := s.AuthorizationServer.Endpoints.Token; u != "" {
		return u
	}
	return in.Facts[s.Name].Token
}

// staticSecrets are the secrets of a static bootstrap.
func staticSecrets(s *site.Site) ([]*tlsv3.Secret, error) {
	client := s.AuthorizationServer.Client
	switch method := client.TokenEndpointAuthMethod; {
	case client.ID == "":
		return nil, fmt.Errorf("%w: without a control plane nobody registers the client; write authorization_server.client {id, secret}", ErrInput)
	case s.AuthorizationServer.PAT.Grant == site.PATAuthorizationCode:
		return nil, fmt.Errorf("%w: pat.grant authorization_code needs the control plane, which keeps the login; run umagate serve and print umagate render bootstrap", ErrInput)
	case method == clientauth.SecretJWT || method == clientauth.PrivateKeyJWT:
		return nil, fmt.Errorf("%w: Envoy cannot sign the assertions of %s; run umagate serve and print umagate render bootstrap, or register the client with client_secret_basic, client_secret_post or tls_client_auth", ErrInput, method)
	case method.UsesTLS():
		if client.Certificate == "" {
			return nil, fmt.Errorf("%w: the certificate is one that umagate serve makes; write certificate_file and private_key, or print umagate render bootstrap", ErrInput)
		}
		return []*tlsv3.Secret{certificateSecret(site.CertificateSecret(s.Name), ClientCertificate{Chain: client.Certificate, Key: client.PrivateKey})}, nil
	case client.Secret.IsZero():
		return nil, fmt.Errorf("%w: without a control plane nobody registers the client; write authorization_server.client {id, secret}", ErrInput)
	}
	return []*tlsv3.Secret{
		genericSecret(site.IntrospectionSecret(s.Name), Basic(client.ID, client.Secret)),
		genericSecret(clientSecret(s.Name), client.Secret),
	}, nil
}
