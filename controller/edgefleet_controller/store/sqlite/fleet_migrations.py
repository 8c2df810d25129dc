"""Numbered migrations of fleet.db; existing ones never change, new ones are added."""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

FLEET = Migrations("fleet")

_FLEET_001 = (
    "CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, deliverable INTEGER NOT NULL)",
    """CREATE TABLE models (name TEXT, version INTEGER, files TEXT NOT NULL, card TEXT NOT NULL,
       created_ms INTEGER NOT NULL, PRIMARY KEY (name, version))""",
    """CREATE TABLE variants (id TEXT, model TEXT, version INTEGER, recipe TEXT NOT NULL, title TEXT NOT NULL,
       instruction_sets TEXT NOT NULL, manifest TEXT NOT NULL, manifest_bytes INTEGER NOT NULL,
       delivery_bytes TEXT NOT NULL, metrics TEXT NOT NULL, runtime TEXT NOT NULL, steps TEXT NOT NULL,
       created_ms INTEGER NOT NULL, PRIMARY KEY (model, version, id))""",
    """CREATE TABLE choices (model TEXT, version INTEGER, profile TEXT, variant TEXT, reasons TEXT NOT NULL,
       PRIMARY KEY (model, version, profile))""",
    """CREATE TABLE operations (id TEXT PRIMARY KEY, kind TEXT NOT NULL, target TEXT NOT NULL, state TEXT NOT NULL,
       progress TEXT NOT NULL, result TEXT, error TEXT, created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL)""",
    """CREATE TABLE devices (id TEXT PRIMARY KEY, incarnation TEXT NOT NULL, online INTEGER NOT NULL,
       last_seen_ms INTEGER NOT NULL, first_seen_ms INTEGER NOT NULL, reported TEXT NOT NULL)""",
    "CREATE TABLE segments (name TEXT PRIMARY KEY, selector TEXT NOT NULL)",
    """CREATE TABLE desired (device TEXT, model TEXT, generation INTEGER NOT NULL, manifest TEXT,
       manifest_bytes INTEGER NOT NULL, rollout TEXT, activate INTEGER NOT NULL, trial_s REAL NOT NULL,
       PRIMARY KEY (device, model))""",
    """CREATE TABLE rollouts (id TEXT PRIMARY KEY, spec TEXT NOT NULL, state TEXT NOT NULL, reason TEXT,
       created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL)""",
    """CREATE TABLE waves (rollout TEXT, number INTEGER, state TEXT NOT NULL, since_ms INTEGER NOT NULL,
       started_ms INTEGER, reason TEXT, PRIMARY KEY (rollout, number))""",
    """CREATE TABLE executions (rollout TEXT, device TEXT, wave INTEGER NOT NULL, profile TEXT NOT NULL,
       variant TEXT, manifest TEXT, manifest_bytes INTEGER NOT NULL, generation INTEGER, directive TEXT NOT NULL,
       phase TEXT NOT NULL, reason TEXT, detail TEXT, transfer_s REAL, transfer_bytes INTEGER,
       directed_ms INTEGER, heard_ms INTEGER, changed_ms INTEGER NOT NULL, PRIMARY KEY (rollout, device))""",
    "CREATE INDEX executions_by_device ON executions (device)",
    """CREATE TABLE audit (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, what TEXT NOT NULL, subject TEXT NOT NULL,
       detail TEXT)""",
)

_FLEET_002 = (
    "CREATE TABLE admissions (device TEXT PRIMARY KEY, profile TEXT, accepted_ms INTEGER NOT NULL)",
    "INSERT INTO admissions SELECT id, NULL, first_seen_ms FROM devices",
)

_FLEET_003 = (
    "ALTER TABLE waves ADD COLUMN evidence TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE executions ADD COLUMN previous_variant TEXT",
    "ALTER TABLE executions ADD COLUMN previous_manifest TEXT",
    "ALTER TABLE executions ADD COLUMN previous_manifest_bytes INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE executions ADD COLUMN back_generation INTEGER",
    "ALTER TABLE executions ADD COLUMN back_phase TEXT",
    "ALTER TABLE executions ADD COLUMN back_reason TEXT",
)

_FLEET_004 = (
    # All but the incarnation that reported last, which is in devices.
    """CREATE TABLE incarnations (device TEXT, incarnation TEXT, last_seen_ms INTEGER NOT NULL,
       PRIMARY KEY (device, incarnation)) WITHOUT ROWID""",
    "CREATE TABLE conflicts (device TEXT PRIMARY KEY, since_ms INTEGER NOT NULL) WITHOUT ROWID",
)

_FLEET_005 = (
    # What plans, listings and counts need of every device, so that they don't read whole reports.
    "ALTER TABLE devices ADD COLUMN boot INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE devices ADD COLUMN report INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE devices ADD COLUMN region TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE devices ADD COLUMN hardware TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE devices ADD COLUMN link TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE devices ADD COLUMN labels TEXT NOT NULL DEFAULT '{}'",
    """UPDATE devices SET boot = json_extract(reported, '$.boot'), report = json_extract(reported, '$.report'),
       region = json_extract(reported, '$.facts.region'), hardware = json_extract(reported, '$.facts.hardware'),
       link = json_extract(reported, '$.facts.link'), labels = coalesce(json_extract(reported, '$.labels'), '{}')""",
    """CREATE TABLE device_models (device TEXT, model TEXT, generation INTEGER NOT NULL, version INTEGER,
       variant TEXT, manifest TEXT, phase TEXT, PRIMARY KEY (device, model)) WITHOUT ROWID""",
    """INSERT INTO device_models SELECT d.id, m.key, coalesce(json_extract(m.value, '$.generation'), 0),
       json_extract(m.value, '$.answering.model_version'), json_extract(m.value, '$.answering.variant'),
       json_extract(m.value, '$.answering.manifest'), json_extract(m.value, '$.attempt.phase')
       FROM devices d, json_each(d.reported, '$.models') m""",
    "CREATE INDEX rollouts_by_state ON rollouts (state)",
)

_FLEET_006 = ("ALTER TABLE variants ADD COLUMN lineage TEXT",)

_FLEET_007 = (
    """CREATE TABLE follow_ups (id INTEGER PRIMARY KEY, device TEXT NOT NULL, what TEXT NOT NULL,
       since_ms INTEGER NOT NULL)""",
)

_FLEET_008 = (
    # What agents can do beyond 0.1.0, and what variants need.
    "ALTER TABLE devices ADD COLUMN features TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE variants ADD COLUMN needs TEXT NOT NULL DEFAULT '[]'",
)

_FLEET_009 = (
    # Which variants a rollback may return to, and which one it was.
    """CREATE TABLE verdicts (model TEXT, profile TEXT, variant TEXT, manifest TEXT NOT NULL, rollout TEXT NOT NULL,
       passed INTEGER NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (model, profile, variant)) WITHOUT ROWID""",
    # The last word on each: of one rollout, that of the wave that failed.
    """INSERT OR REPLACE INTO verdicts
       SELECT json_extract(r.spec, '$.model'), e.profile, e.variant, e.manifest, r.id, 1, w.since_ms
       FROM rollouts r JOIN executions e ON e.rollout = r.id JOIN waves w ON w.rollout = r.id AND w.number = e.wave
       WHERE w.state = 'passed' AND e.phase = 'committed' AND e.variant IS NOT NULL AND e.manifest IS NOT NULL
       ORDER BY w.since_ms""",
    """INSERT OR REPLACE INTO verdicts
       SELECT json_extract(r.spec, '$.model'), e.profile, e.variant, e.manifest, r.id, 0, r.changed_ms
       FROM rollouts r JOIN executions e ON e.rollout = r.id
       LEFT JOIN verdicts v ON v.model = json_extract(r.spec, '$.model') AND v.profile = e.profile
       AND v.variant = e.variant
       WHERE e.directive = 'activate' AND e.variant IS NOT NULL AND e.manifest IS NOT NULL
       AND coalesce(v.rollout, '') <= r.id
       AND (r.state IN ('rolling_back', 'rolled_back', 'rollback_incomplete')
       OR EXISTS (SELECT 1 FROM waves w WHERE w.rollout = r.id AND w.state = 'failed')) ORDER BY r.id""",
    "ALTER TABLE desired ADD COLUMN keep TEXT",
    "ALTER TABLE executions ADD COLUMN back_variant TEXT",
    "ALTER TABLE executions ADD COLUMN back_manifest TEXT",
    "ALTER TABLE executions ADD COLUMN back_manifest_bytes INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE executions ADD COLUMN back_why TEXT",
    """UPDATE executions SET back_variant = previous_variant, back_manifest = previous_manifest,
       back_manifest_bytes = previous_manifest_bytes""",
    # An order that ended a rollout left the wave that was under way as it was.
    """UPDATE waves SET state = 'inconclusive', reason = 'the rollout ended before the gate had decided'
       WHERE state IN ('staging', 'activating', 'soaking') AND rollout IN (SELECT id FROM rollouts
       WHERE state IN ('cancelled', 'rolling_back', 'rolled_back', 'rollback_incomplete'))""",
)

_FLEET_010 = (
    "ALTER TABLE desired ADD COLUMN at_once INTEGER NOT NULL DEFAULT 0",
    # A rollback that is under way waits for no window.
    """UPDATE desired SET at_once = 1 WHERE EXISTS (SELECT 1 FROM executions e WHERE e.device = desired.device
       AND e.rollout = desired.rollout AND e.back_generation = desired.generation)""",
    "ALTER TABLE executions ADD COLUMN keeps_windows INTEGER NOT NULL DEFAULT 0",
)

_FLEET_011 = (
    # What each wave's gate made of every check, also of those that it could not judge.
    "ALTER TABLE waves ADD COLUMN judgements TEXT NOT NULL DEFAULT '[]'",
)

_FLEET_012 = (
    # When a device was removed, in place of a phase of its way back that looked like an arrival.
    "ALTER TABLE executions ADD COLUMN removed_ms INTEGER",
    """UPDATE executions SET removed_ms = (SELECT max(a.at_ms) FROM audit a WHERE a.what = 'device removed'
       AND a.subject = executions.device AND a.at_ms >= executions.changed_ms)""",
    # Only a device that was told to serve nothing has itself reported that its way back ended as removed.
    """UPDATE executions SET removed_ms = coalesce(removed_ms, changed_ms) WHERE phase = 'removed'
       OR (back_phase = 'removed' AND (back_generation IS NULL OR back_manifest IS NOT NULL))""",
    """UPDATE executions SET back_phase = iif(back_generation IS NULL, NULL, 'assigned')
       WHERE back_phase = 'removed' AND (back_generation IS NULL OR back_manifest IS NOT NULL)""",
)

_FLEET_013 = (
    # Columns for what alerts are looked up by; the whole alert is JSON.
    "CREATE TABLE alerts (id TEXT PRIMARY KEY, rollout TEXT, ended_ms INTEGER, alert TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX alerts_by_rollout ON alerts (rollout)",
)

_FLEET_014 = (
    # The manifest as agents without reduced answers know it, and the golden set of each variant.
    "ALTER TABLE variants ADD COLUMN older_manifest TEXT",
    "ALTER TABLE variants ADD COLUMN older_manifest_bytes INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE variants ADD COLUMN golden TEXT",
)

_FLEET_015 = (
    # No row of devices has to exist: a device that was added can be written on before it reports.
    "CREATE TABLE annotations (device TEXT PRIMARY KEY, labels TEXT NOT NULL, note TEXT) WITHOUT ROWID",
)

_FLEET_016 = ("ALTER TABLE executions ADD COLUMN transfer_total_bytes INTEGER",)

_FLEET_017 = ("ALTER TABLE executions ADD COLUMN simulated INTEGER NOT NULL DEFAULT 0",)

_FLEET_018 = (
    # An empty variant is the source model of the version.
    """CREATE TABLE answers (model TEXT, version INTEGER, variant TEXT, data TEXT, asked INTEGER NOT NULL,
       blob TEXT NOT NULL, PRIMARY KEY (model, version, variant, data)) WITHOUT ROWID""",
)

_FLEET_019 = ("ALTER TABLE models ADD COLUMN reading TEXT",)
_FLEET_020 = ("ALTER TABLE variants ADD COLUMN scale TEXT NOT NULL DEFAULT '[]'",)


@FLEET()
def m001_registry_devices_and_rollouts(db: Database) -> None:
    """The first schema."""
    for statement in _FLEET_001:
        db.execute(statement)


@FLEET()
def m002_device_status(db: Database) -> None:
    """Which devices belong to the fleet; all that reported before this migration do."""
    for statement in _FLEET_002:
        db.execute(statement)


@FLEET()
def m003_evidence_and_the_way_back(db: Database) -> None:
    """What a wave was judged by, and what each device ran before."""
    for statement in _FLEET_003:
        db.execute(statement)


@FLEET()
def m004_conflicts(db: Database) -> None:
    """Incarnations that report alternately under one id."""
    for statement in _FLEET_004:
        db.execute(statement)


@FLEET()
def m005_the_fleet_at_a_glance(db: Database) -> None:
    """What devices are and run, beside their whole reports."""
    for statement in _FLEET_005:
        db.execute(statement)


@FLEET()
def m006_lineage(db: Database) -> None:
    """What each variant was made from and with; null for variants built before this."""
    for statement in _FLEET_006:
        db.execute(statement)


@FLEET()
def m007_follow_ups(db: Database) -> None:
    """Changes that telemetry.db has yet to make after decisions in this file."""
    for statement in _FLEET_007:
        db.execute(statement)


@FLEET()
def m008_features(db: Database) -> None:
    """What agents can do, and what variants need."""
    for statement in _FLEET_008:
        db.execute(statement)


@FLEET()
def m009_verdicts(db: Database) -> None:
    """What gates and operators have found of variants, and where each rollback led."""
    for statement in _FLEET_009:
        db.execute(statement)


@FLEET()
def m010_region_windows(db: Database) -> None:
    """Whether an order waits for no window, and whether an agent keeps windows by itself."""
    for statement in _FLEET_010:
        db.execute(statement)


@FLEET()
def m011_judgements(db: Database) -> None:
    """What gates judged, and what they could not."""
    for statement in _FLEET_011:
        db.execute(statement)


@FLEET()
def m012_removed_devices(db: Database) -> None:
    """When the device of each execution was removed."""
    for statement in _FLEET_012:
        db.execute(statement)


@FLEET()
def m013_alerts(db: Database) -> None:
    """What needs an operator's look."""
    for statement in _FLEET_013:
        db.execute(statement)


@FLEET()
def m014_forms_of_manifests(db: Database) -> None:
    """The other form of each manifest, and the size of each golden set."""
    for statement in _FLEET_014:
        db.execute(statement)


@FLEET()
def m015_annotations(db: Database) -> None:
    """What operators have written on devices."""
    for statement in _FLEET_015:
        db.execute(statement)


@FLEET()
def m016_transfer_totals(db: Database) -> None:
    """How much each device has to fetch in all."""
    for statement in _FLEET_016:
        db.execute(statement)


@FLEET()
def m017_simulated(db: Database) -> None:
    """Which removed devices stood in for their hardware."""
    for statement in _FLEET_017:
        db.execute(statement)


@FLEET()
def m018_answers(db: Database) -> None:
    """What variants answer to val, and so did those of versions before."""
    for statement in _FLEET_018:
        db.execute(statement)


@FLEET()
def m019_readings(db: Database) -> None:
    """What models were found to do, take and give."""
    for statement in _FLEET_019:
        db.execute(statement)


@FLEET()
def m020_scales(db: Database) -> None:
    """By which scale the scores of each variant are."""
    for statement in _FLEET_020:
        db.execute(statement)
