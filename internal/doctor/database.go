package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/katib-stream/katib-stream/katibdb"
)

const unreachable = "start it, or correct --db or Katib's variables DB_NAME, DB_USER, DB_PASSWORD and the like; a file, and its folder, this user must be able to write"

func (v *visit) lookAtDatabase(ctx context.Context) {
	if v.cfg.Database == nil {
		v.skip("everything", "no database is given with --db or Katib's variables")
		return
	}
	db, err := katibdb.Open(ctx, *v.cfg.Database)
	if err != nil {
		v.say("server", Fail, err.Error(), "correct --db, or Katib's variables")
		return
	}
	v.db = db
	within, cancel := v.within(ctx)
	defer cancel()
	found, err := db.Inspect(within)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.say("server", Fail, err.Error(), v.fixable("make the database and its tables", db.Migrate))
		return
	case err != nil:
		v.say("server", Fail, inWords(err), unreachable)
		return
	}
	v.inspected = &found
	v.ok("server", "%s at %s", found.Version, v.cfg.Database)
	v.judgeWrites(found)
	v.judgeRoomForUs(found)
	v.judgeMigrations(found)
	v.judgeTable(found)
	v.judgeText(found)
	v.judgeIDs(found)
	for _, what := range slices.Sorted(maps.Keys(found.Unknown)) {
		v.skip(what, "%s", inWords(found.Unknown[what]))
	}
	v.compare(ctx, found)
}

func (v *visit) judgeWrites(found katibdb.Inspection) {
	switch {
	case found.ReadOnly != "" && found.Settings["journal_mode"] != "":
		v.say("writes", Fail, "it takes none: "+found.ReadOnly, "let this user write the file and its folder (chown, or fsGroup of the pod)")
	case found.ReadOnly != "":
		v.say("writes", Fail, "it takes none: "+found.ReadOnly, "connect to the primary, or switch that off on the server")
	case found.Replica:
		v.say("writes", Warn, "it takes writes, although it is a replica of another server", "connect to the primary: what is written here is not there")
	default:
		v.ok("writes", "it takes them")
	}
}

// judgeRoomForUs wants connections for one more consumer, and statements of the size that it writes.
func (v *visit) judgeRoomForUs(found katibdb.Inspection) {
	const wanted = 12 // 4 workers, and what runs beside them
	if found.MaxConnections > 0 {
		left := found.MaxConnections - found.Connections
		if left < wanted {
			v.say("connections", Warn, fmt.Sprintf("%d of %d are open; a consumer takes up to %d", found.Connections, found.MaxConnections, wanted), "raise max_connections on the server, or give consumers fewer --workers")
		} else {
			v.ok("connections", "%d of %d are open", found.Connections, found.MaxConnections)
		}
	}
	const packet = 1 << 20
	var bytes int64
	if _, err := fmt.Sscan(found.Settings["max_allowed_packet"], &bytes); err == nil && bytes < packet {
		v.say("max_allowed_packet", Fail, fmt.Sprintf("%d bytes; a statement can be larger", bytes), "SET GLOBAL max_allowed_packet = 16777216, and the same in the server's configuration")
	}
	if mode, known := found.Settings["sql_mode"]; known && !strings.Contains(mode, "STRICT_ALL_TABLES") {
		v.say("sql_mode", Fail, "a session has "+mode+" although STRICT_ALL_TABLES is asked for: values can be cut off", "let what stands between pass on the settings of a session")
	}
}

func (v *visit) judgeMigrations(found katibdb.Inspection) {
	if found.Unknown["the tables"] != nil || found.Unknown["the migrations"] != nil {
		return
	}
	ours := slices.DeleteFunc(slices.Clone(found.MissingTables), func(name string) bool { return name == "observation_logs" })
	switch {
	case found.Migration > found.Newest:
		v.say("migrations", Warn, fmt.Sprintf("it has number %d, this program only knows %d", found.Migration, found.Newest), "run the katib-stream that migrated it, or a newer one")
	case found.Migration < found.Newest:
		v.say("migrations", Fail, fmt.Sprintf("it has number %d of %d", found.Migration, found.Newest), v.fixable("make what the database lacks", v.db.Migrate))
	case len(ours) > 0:
		v.say("migrations", Fail, "they ran, but tables are missing: "+strings.Join(ours, ", "), "restore them from a backup; or, which forgets what is a duplicate, remove stream_migrations and run `katib-stream migrate`")
	default:
		v.ok("migrations", "number %d, the newest", found.Migration)
	}
}

func (v *visit) judgeTable(found katibdb.Inspection) {
	const check = "observation_logs"
	switch {
	case found.Unknown["the tables"] != nil || found.Unknown["the columns"] != nil:
	case slices.Contains(found.MissingTables, check) && v.cfg.Database.SkipKatibTable:
		v.say(check, Fail, "there is no such table, and SKIP_DB_INITIALIZATION leaves it to Katib", "start Katib's own db-manager once, or leave SKIP_DB_INITIALIZATION out")
	case slices.Contains(found.MissingTables, check):
		v.say(check, Fail, "there is no such table", v.fixable("make what the database lacks", v.db.Migrate))
	case len(found.WrongColumns) > 0:
		v.say(check, Fail, strings.Join(found.WrongColumns, "; "), "ALTER TABLE observation_logs, so that its columns are those that Katib makes")
	case !found.Indexed:
		v.say(check, Note, "it has no index, as Katib makes it: each read passes over the whole table; CREATE INDEX observation_logs_trial_time ON observation_logs (trial_name, time) makes reads fast and inserts slower", "")
	default:
		v.ok(check, "as Katib makes it, with an index on trial_name")
	}
}

func (v *visit) judgeText(found katibdb.Inspection) {
	const check = "characters"
	switch {
	case len(found.NarrowText) > 0 && found.Settings["sql_mode"] != "":
		v.say(check, Warn, "not all of Unicode fits: "+strings.Join(found.NarrowText, ", ")+"; what does not becomes a dead letter", "ALTER TABLE observation_logs CONVERT TO CHARACTER SET utf8mb4")
	case len(found.NarrowText) > 0:
		v.say(check, Fail, "not all of Unicode fits: "+strings.Join(found.NarrowText, ", "), "make a database with ENCODING 'UTF8' TEMPLATE template0, and move Katib's table there")
	default:
		v.ok(check, "all of Unicode fits")
	}
}

// judgeIDs says when Katib's INT ends, after which nothing can be inserted.
func (v *visit) judgeIDs(found katibdb.Inspection) {
	const check = "ids"
	if found.MaxID == 0 || found.MaxID >= 1<<62 {
		return
	}
	left := found.MaxID - min(found.MaxID, found.LastID)
	detail := fmt.Sprintf("%d of %d are left", left, found.MaxID)
	days := float64(left) / found.IDsPerDay
	if found.IDsPerDay > 0 {
		detail += ", for " + inTime(days) + " at the rate of the last rows"
	}
	mend := "ALTER TABLE observation_logs MODIFY id BIGINT NOT NULL AUTO_INCREMENT"
	if found.Settings["synchronous_commit"] != "" {
		mend = "ALTER TABLE observation_logs ALTER COLUMN id TYPE bigint; ALTER SEQUENCE observation_logs_id_seq AS bigint"
	}
	share := float64(left) / float64(found.MaxID)
	switch {
	case left == 0 || share < 0.01 || found.IDsPerDay > 0 && days < 3:
		v.say(check, Fail, detail+"; then nothing can be inserted", mend)
	case share < 0.2 || found.IDsPerDay > 0 && days < 90:
		v.say(check, Warn, detail+"; then nothing can be inserted", mend)
	default:
		v.ok(check, "%s", detail)
	}
}

func inTime(days float64) string {
	switch {
	case days < 2:
		return (time.Duration(days*24*3600) * time.Second).String()
	case days < 730:
		return fmt.Sprintf("%.0f days", days)
	}
	return fmt.Sprintf("%.0f years", days/365)
}
