-- Drops everything in Postgres that is derived from the event store: read models, their checkpoints and views, the sagas' index and timers, the
-- relay's checkpoint. They are made again at the next start. The schema vault (keys of persons) is no derived data and stays, and so does every
-- schema that is not Annal's: the read models are those that the catalogue of checkpoints names.
-- Needed after the event store was replaced by a copy, whose positions are its own (docs/embedded-store.md). annald must be stopped.
SET client_min_messages = warning;
DO $$
DECLARE
	derived text;
	ours text[] := '{projections,read,sagas,relay}';
BEGIN
	IF to_regclass('projections.checkpoints') IS NOT NULL THEN
		SELECT ours || array_agg(DISTINCT name || '_v' || version) INTO ours FROM projections.checkpoints;
	END IF;
	FOR derived IN SELECT nspname FROM pg_namespace WHERE nspname = ANY (ours) LOOP
		EXECUTE format('DROP SCHEMA %I CASCADE', derived);
	END LOOP;
END
$$;
