package engine

// Stat is what can be told of a store at a glance.
type Stat struct {
	Directory      string   `json:"directory"`
	Format         int      `json:"format"`
	Position       Position `json:"position"`        // of the last readable event
	Scavenged      uint64   `json:"scavenged"`       // events, since the store was made
	ScavengedBytes uint64   `json:"scavenged_bytes"` // of their records
	TableBytes     uint64   `json:"table_bytes"`
	LogBytes       uint64   `json:"wal_bytes"`
	DiskBytes      uint64   `json:"disk_bytes"` // all files, those that wait for removal included
	FreeBytes      uint64   `json:"free_bytes"` // on the store's disk
	ReserveBytes   uint64   `json:"reserve_bytes"`
	AppendsRefused bool     `json:"appends_refused"` // because fewer bytes are free than are kept in reserve
}

// Stat looks at the store. Faults: ErrClosed, ErrCorrupt.
func (db *DB) Stat() (Stat, error) {
	if err := db.enter(); err != nil {
		return Stat{}, err
	}
	defer db.leave()
	swept, err := loadSwept(db.pebble)
	if err != nil {
		return Stat{}, err
	}
	version, err := readMarker(db.cfg.FS, db.cfg.FS.PathJoin(db.dir, markerName))
	if err != nil {
		return Stat{}, err
	}
	m, space := db.pebble.Metrics(), db.Space()
	return Stat{
		Directory: db.dir, Format: version, Position: db.Last(), Scavenged: swept.events, ScavengedBytes: swept.bytes,
		TableBytes: m.Table.Local.LiveSize, LogBytes: m.WAL.PhysicalSize, DiskBytes: m.DiskSpaceUsage(),
		FreeBytes: space.Free, ReserveBytes: space.Reserve, AppendsRefused: space.Known && space.Free < space.Reserve,
	}, nil
}
