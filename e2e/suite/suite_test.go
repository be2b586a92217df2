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
	// After an outage the AS is asked about tokens by and by: those scenarios come last.
	return slices.Concat(storyScenarios(), conditionScenarios(), modeScenarios(), tokenScenarios(), identityScenarios(), failureScenarios(),
		pathScenarios(), protocolScenarios(), crowdScenarios(), deliveryScenarios(), revocationScenarios(),
		answerScenarios(), browserScenarios(), evaluationScenarios(), claimTokenScenarios(), claimScenarios(), sharingScenarios(), streamScenarios(),
		messageScenarios(), listScenarios(), staleScenarios(), pushedScenarios(), signingScenarios())
}

func TestScenarios(t *testing.T) {
	api := startAPI(t)
	kinds := []asKind{devASKind(), keycloakKind()}
	servers := map[string]*authServer{kinds[0].name: kinds[0].start(t, t)}
	for _, g := range []gatewayKind{nativeKind(), wasmKind(), envoyKind()} {
		t.Run(g.name, func(gt *testing.T) {
			as := servers[kinds[0].name]
			gw := g.start(gt, api.address, as.delivery(gt, scenarios()))
			for i, a := range kinds {
				gt.Run(a.name, func(at *testing.T) {
					if servers[a.name] == nil {
						servers[a.name] = a.start(at, t)
					}
					as := servers[a.name]
					as.dropPAT() // it may end before the next gateway does
					table := slices.DeleteFunc(scenarios(), func(s scenario) bool { return s.once && i > 0 })
					e := &env{as: as, api: api, front: as.front, gw: gw, d: as.delivery(at, table)}
					require.NoError(at, gw.update(at.Context(), e.d))
					e.settled(at, table)
					runScenarios(at, e, table)
				})
			}
		})
	}
}

// delivery is the configuration of a table, with this AS.
func (a *authServer) delivery(t *testing.T, table []scenario) delivery {
	t.Helper()
	return delivery{wholeConfig(&env{as: a}, table), a.clusters(t.Context(), t)}
}

// settled waits until the gateway reaches this AS: a changed cluster may take a
// moment after its acknowledgement.
func (e *env) settled(t *testing.T, table []scenario) {
	t.Helper()
	own := e.of(&table[0])
	c := newClient(t, e.gw.address())
	for range 2 * e.gw.workers() {
		waitFor(t, "the AS", func() bool {
			return c.do(t, own.request(t, &step{path: "/albums/1"}, "")).status == 401
		})
		c.hangUp() // the next may be on another worker
	}
}
