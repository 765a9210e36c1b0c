package engine

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// orderedFS makes what a marker names durable before the marker. Pebble creates a manifest, then a marker file whose name says
// which manifest counts, and syncs the folder once for both; a power cut in between may keep the marker alone, and the store
// can't be opened. (Found by TestPowerCuts. File systems that journal folders in order don't do that; POSIX allows it.)
type orderedFS struct {
	vfs.FS
}

const markerPrefix = "marker."

// Create syncs the folder before a marker appears in it.
func (o orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(o.PathBase(name), markerPrefix) {
		if err := syncDir(o.FS, o.PathDir(name)); err != nil {
			return nil, errors.Join(errors.New("syncing the folder before its marker"), err)
		}
	}
	return o.FS.Create(name, category)
}

// Unwrap returns the file system below.
func (o orderedFS) Unwrap() vfs.FS { return o.FS }
