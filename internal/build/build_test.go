package build

import (
	"runtime/debug"
	"testing"
)

func TestABuildSaysWhereItComesFrom(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.time", Value: "2026-11-25T15:00:00Z"}}
	dirty := append([]debug.BuildSetting{{Key: "vcs.modified", Value: "true"}}, vcs...)
	for _, tc := range []struct {
		version  string
		settings []debug.BuildSetting
		want     string
	}{
		{"(devel)", vcs, "devel, revision 0123456789ab of 2026-11-25T15:00:00Z, go1.26"},
		{"(devel)", dirty, "devel, revision 0123456789ab of 2026-11-25T15:00:00Z, modified, go1.26"},
		{"v0.0.0-20261125150000-0123456789ab+dirty", dirty, "v0.0.0-20261125150000-0123456789ab+dirty, revision 0123456789ab of 2026-11-25T15:00:00Z, go1.26"},
		{"v1.2.3", nil, "v1.2.3, go1.26"},
		{"(devel)", nil, unstamped + ", go1.26"},
	} {
		info := &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: tc.version}, Settings: tc.settings}
		if got := describe(info); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.version, got, tc.want)
		}
	}
}
