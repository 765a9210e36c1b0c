-- Drops everything in Postgres that is derived from the event store: read models, their checkpoints and views, the sagas' index and timers, the
-- relay's checkpoint. They are made again at the next start. The schema vault (keys of persons) is no derived data and stays.
-- Needed after the event store was replaced by a copy, whose positions are its own (docs/embedded-store.md). annald must be stopped.
SET client_min_messages = warning;
DO $$
DECLARE derived text;
BEGIN
	FOR derived IN SELECT nspname FROM pg_namespace WHERE nspname ~ '_v[0-9]+$' OR nspname IN ('projections', 'read', 'sagas', 'relay') LOOP
		EXECUTE format('DROP SCHEMA %I CASCADE', derived);
	END LOOP;
END
$$;
