package suite_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// negativeEntries bounds the tokens that are not active in every gateway's cache.
const negativeEntries = 40

// scenarios is the table.
func scenarios() []scenario {
	return slices.Concat(storyScenarios(), conditionScenarios(), identityScenarios(), failureScenarios(),
		pathScenarios(), protocolScenarios(), crowdScenarios(), deliveryScenarios())
}

func TestScenarios(t *testing.T) {
	api := startAPI(t)
	servers := map[string]*authServer{}
	for _, g := range []gatewayKind{nativeKind(), wasmKind(), envoyKind()} {
		t.Run(g.name, func(gt *testing.T) {
			var gw gateway
			for i, a := range []asKind{devASKind(), keycloakKind()} {
				gt.Run(a.name, func(at *testing.T) {
					if servers[a.name] == nil {
						servers[a.name] = a.start(t)
					}
					e := &env{as: servers[a.name], api: api, front: servers[a.name].front}
					table := slices.DeleteFunc(scenarios(), func(s scenario) bool { return s.once && i > 0 })
					e.d = delivery{wholeConfig(e, table), e.as.clusters(at.Context(), at)}
					if gw == nil {
						gw = g.start(gt, api.address, e.d)
					}
					e.gw = gw
					require.NoError(at, gw.update(at.Context(), e.d))
					runScenarios(at, e, table)
				})
			}
		})
	}
}
