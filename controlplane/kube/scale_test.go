package kube_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/umagate/umagate/controlplane/kube"
	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/server"
)

// TestManyObjects measures a control plane with $UMAGATE_OBJECTS real objects, all of which
// it registers: what it costs until each is synced, and to take one change over.
func TestManyObjects(t *testing.T) {
	number, err := strconv.Atoi(os.Getenv("UMAGATE_OBJECTS"))
	if err != nil {
		t.Skip("measures with UMAGATE_OBJECTS=300")
	}
	a := startAPI(t)
	c := a.prepare(t, 1, func(s *kube.Settings) { s.StatusEvery, s.SecretsEvery = 0, 0 }) // as in production
	c.Options.Intervals = server.Intervals{}
	c.Start()
	c.apply(authorizationServer)
	cpu := func() time.Duration {
		var u syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	begin, used := time.Now(), cpu()
	one := func(i int) string {
		return strings.NewReplacer("name: photos", fmt.Sprintf("name: api-%d", i), "photos.example.com", fmt.Sprintf("api-%d.example.com", i), "name: albums", fmt.Sprintf("name: albums-%d", i)).Replace(photos)
	}
	for i := range number {
		c.apply(one(i))
	}
	created := time.Since(begin)
	synced := func() (n int) {
		var list v1alpha1.ProtectedAPIList
		require.NoError(t, a.client.List(t.Context(), &list, client.InNamespace(c.namespaces[0])))
		for i := range list.Items {
			if meta.IsStatusConditionTrue(list.Items[i].Status.Conditions, v1alpha1.Synced) {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return synced() == number }, 10*time.Minute, 200*time.Millisecond)
	all, allCPU := time.Since(begin), cpu()-used
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	begin, used = time.Now(), cpu()
	c.apply(strings.Replace(one(0), "[/albums/**]", "[/albums/**, /more]", 1))
	c.until("team-a", "api-0", v1alpha1.Synced, "True")
	t.Logf("%d objects: created in %v, all synced in %v with %v of CPU (test and AS included); heap %d KiB; one change %v, %v of CPU",
		number, created, all, allCPU, m.HeapAlloc>>10, time.Since(begin), cpu()-used)
}
