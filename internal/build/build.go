// Package build says which build of Annal a program is: `annald --version`, `annal --version`, the label of annal_build_info and the
// service.version of traces are the same words, so that an issue, a metric and a trace can be laid side by side.
//
// The go command stamps revision and time into a program that is built inside a clone (-buildvcs), and the module's version into one that is
// installed by it. One that was built from an archive, or with -buildvcs=false, says so instead of pretending.
package build

import (
	"runtime/debug"
	"strings"
)

// Version is this program's, one line.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	return describe(info)
}

const (
	unknown      = "unknown, built without modules"
	unstamped    = "devel, revision unknown (built outside a clone or with -buildvcs=false)"
	shortestHash = 12 // what go's own pseudo-versions keep of a revision
)

func describe(info *debug.BuildInfo) string {
	stamped := map[string]string{}
	for _, s := range info.Settings {
		stamped[s.Key] = s.Value
	}
	version, revision := info.Main.Version, stamped["vcs.revision"]
	if version == "(devel)" || version == "" {
		version = "devel"
	}
	switch {
	case revision == "" && version == "devel":
		version = unstamped
	case revision != "":
		version += ", revision " + revision[:min(shortestHash, len(revision))] + " of " + stamped["vcs.time"]
		if stamped["vcs.modified"] == "true" && !strings.HasSuffix(info.Main.Version, "+dirty") {
			version += ", modified"
		}
	}
	return version + ", " + info.GoVersion
}
