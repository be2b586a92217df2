package envoy

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeEnvoy writes a program that answers --version as Envoy does.
func fakeEnvoy(t *testing.T, path, version string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	script := "#!/bin/sh\necho \"$0  version: 0123abcd/" + version + "/Clean/RELEASE/BoringSSL\"\n"
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700))
}

// emptyMachine hides every Envoy of the machine that runs the test.
func emptyMachine(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	for variable, value := range map[string]string{
		"HOME": home, "XDG_CACHE_HOME": filepath.Join(home, "cache"), "PATH": filepath.Join(home, "bin"),
		"ENVOY_BIN": "", "FUNC_E_HOME": "", "FUNC_E_DATA_HOME": "",
	} {
		t.Setenv(variable, value)
	}
	return home
}

func TestFind(t *testing.T) {
	tests := []struct {
		name    string
		envoys  map[string]string // path under home → version
		bin     string            // $ENVOY_BIN under home
		want    string            // path under home
		source  string
		wantErr string
	}{
		{name: "nothing", wantErr: "install one"},
		{name: "path", envoys: map[string]string{"bin/envoy": "1.38.1"}, want: "bin/envoy", source: "PATH"},
		{
			name:   "variable beats path",
			envoys: map[string]string{"bin/envoy": "1.38.1", "mine": "1.39.0"},
			bin:    "mine", want: "mine", source: "$ENVOY_BIN",
		},
		{
			name:   "variable that names nothing is not passed over",
			envoys: map[string]string{"bin/envoy": "1.38.1"},
			bin:    "gone", wantErr: "$ENVOY_BIN",
		},
		{
			name:   "too old in path, func-e has one",
			envoys: map[string]string{"bin/envoy": "1.9.0", ".local/share/func-e/envoy-versions/1.37.0/bin/envoy": "1.37.0"},
			want:   ".local/share/func-e/envoy-versions/1.37.0/bin/envoy", source: "func-e",
		},
		{name: "too old only", envoys: map[string]string{"bin/envoy": "1.9.0"}, wantErr: "1.36.0 or later is needed"},
		{
			name:   "newest of the cache",
			envoys: map[string]string{"cache/umagate/envoy/1.36.5/envoy": "1.36.5", "cache/umagate/envoy/1.36.10/envoy": "1.36.10"},
			want:   "cache/umagate/envoy/1.36.10/envoy", source: "umagate's cache",
		},
		{
			name:   "the default version is preferred",
			envoys: map[string]string{"cache/umagate/envoy/1.40.0/envoy": "1.40.0", "cache/umagate/envoy/1.41.0/envoy": "1.41.0"},
			want:   "cache/umagate/envoy/1.40.0/envoy", source: "umagate's cache",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := emptyMachine(t)
			for path, version := range tt.envoys {
				fakeEnvoy(t, filepath.Join(home, path), version)
			}
			if tt.bin != "" {
				t.Setenv("ENVOY_BIN", filepath.Join(home, tt.bin))
			}
			binary, err := Find(t.Context())
			if tt.wantErr != "" {
				require.ErrorContains(t, err, tt.wantErr)
				if tt.bin == "" {
					require.ErrorIs(t, err, ErrNotFound)
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, filepath.Join(home, tt.want), binary.Path)
			require.Equal(t, tt.source, binary.Source)
		})
	}
}

func TestCompareVersions(t *testing.T) {
	tests := []struct {
		name string
		a, b string
		want int
	}{
		{"by number", "1.9.0", "1.40.0", -1},
		{"equal", "1.40.0", "v1.40.0", 0},
		{"patch", "1.40.10", "1.40.9", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, compareVersions(tt.a, tt.b))
		})
	}
}
