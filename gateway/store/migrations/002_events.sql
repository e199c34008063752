-- The log of changes. xid is filled in for whoever inserts, by SQL too: readers keep a horizon of
-- transactions, so a row that commits late is read late and never stepped over.

CREATE TABLE cluster_events (
    id        uuid PRIMARY KEY,
    node_id   uuid NOT NULL,
    at        timestamptz NOT NULL,
    nbf       timestamptz,
    expire_at timestamptz NOT NULL,
    channel   text,
    data      text,
    xid       xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX cluster_events_xid_id_idx ON cluster_events (xid, id);
CREATE INDEX cluster_events_expire_at_idx ON cluster_events (expire_at);

-- Events that were taken away, for readers that had not come so far: highest is the largest xid
-- among the rows that one statement deleted, all ones for a TRUNCATE. Only ever appended to and
-- trimmed. Its triggers are ordinary ones: session_replication_role = replica silences them.
CREATE TABLE cluster_event_deletions (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    highest xid8 NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cluster_event_deletions_xid_id_idx ON cluster_event_deletions (xid, id);

CREATE FUNCTION cluster_events_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cluster_event_deletions (highest)
        SELECT xid FROM gone ORDER BY xid DESC LIMIT 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER cluster_events_deleted AFTER DELETE ON cluster_events
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION cluster_events_deleted();

CREATE FUNCTION cluster_events_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cluster_event_deletions (highest) VALUES ('18446744073709551615');
    RETURN NULL;
END
$$;

CREATE TRIGGER cluster_events_truncated AFTER TRUNCATE ON cluster_events
    FOR EACH STATEMENT EXECUTE FUNCTION cluster_events_truncated();
