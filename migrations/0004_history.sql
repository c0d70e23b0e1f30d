-- What happened. Everything here is partitioned by month, so that retention is dropping a table. Each has a
-- default partition, so that no insert fails for want of a month; `ensure_partitions` makes months ahead
-- and moves what had gone to the default.

CREATE TABLE runs (
    run_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    definition_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('push', 'pull', 'two_way', 'plan', 'verify', 'repair', 'move', 'backfill')),
    state text NOT NULL CHECK (state IN ('queued', 'running', 'paused', 'completed', 'completed_with_errors', 'failed', 'cancelled', 'refused')),
    spec jsonb NOT NULL,
    counters jsonb NOT NULL DEFAULT '{}',
    spending jsonb NOT NULL DEFAULT '{}',
    failure jsonb,
    verification jsonb,
    prediction jsonb,
    notices text[] NOT NULL DEFAULT '{}',
    requested_by text NOT NULL CHECK (length(requested_by) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (run_id, created_at),
    CHECK ((ended_at IS NOT NULL) = (state NOT IN ('queued', 'running', 'paused')))
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE runs IS 'Executions of definitions: what they were told (`spec`, without credentials), what they did and spent, what they found (`verification`, `prediction`: without values), how they ended.';
CREATE INDEX runs_of_definition ON runs (definition_id, created_at DESC);
CREATE INDEX runs_unfinished ON runs (definition_id) WHERE ended_at IS NULL;
CREATE TABLE runs_default PARTITION OF runs DEFAULT;

CREATE SEQUENCE run_event_sequence AS bigint;
CREATE TABLE run_events (
    event_id bigint NOT NULL DEFAULT nextval('run_event_sequence'),
    at timestamptz NOT NULL DEFAULT now(),
    workspace_id uuid NOT NULL,
    definition_id uuid NOT NULL,
    run_id uuid NOT NULL,
    kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 100),
    detail jsonb NOT NULL,
    PRIMARY KEY (event_id, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE run_events IS 'Steps of a run in their order, without values.';
CREATE INDEX run_events_of_run ON run_events (run_id, event_id);
CREATE TABLE run_events_default PARTITION OF run_events DEFAULT;

CREATE SEQUENCE ledger_history_sequence AS bigint;
CREATE TABLE ledger_history (
    history_id bigint NOT NULL DEFAULT nextval('ledger_history_sequence'),
    at timestamptz NOT NULL DEFAULT now(),
    workspace_id uuid NOT NULL,
    definition_id uuid NOT NULL,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    run_id uuid NOT NULL,
    effect_id uuid,
    kind text NOT NULL CHECK (kind IN ('create_item', 'patch_item', 'delete_item', 'adopt')),
    outcome text NOT NULL CHECK (outcome IN ('applied', 'quarantined', 'released', 'adopted')),
    item_id text,
    item_guid uuid,
    before_counter bigint,
    after_counter bigint,
    agreed bytea,
    layout bigint,
    request_id text CHECK (length(request_id) <= 200),
    PRIMARY KEY (history_id, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE ledger_history IS 'Closed effects and adoptions, append-only: who was written when by which run, versions before and after, hashes agreed on afterwards. No values.';
CREATE INDEX ledger_history_of_identity ON ledger_history (definition_id, identity, history_id);
CREATE INDEX ledger_history_of_run ON ledger_history (run_id);
CREATE TABLE ledger_history_default PARTITION OF ledger_history DEFAULT;

CREATE TABLE audit_heads (
    workspace_id uuid PRIMARY KEY REFERENCES workspaces,
    last_id bigint NOT NULL,
    last_hash bytea NOT NULL CHECK (octet_length(last_hash) = 32)
);
COMMENT ON TABLE audit_heads IS 'The end of each workspace''s audit chain; locked while an entry is appended.';

CREATE TABLE audit (
    workspace_id uuid NOT NULL,
    audit_id bigint NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL CHECK (length(actor) BETWEEN 1 AND 200),
    action text NOT NULL CHECK (length(action) BETWEEN 1 AND 100),
    object_kind text NOT NULL CHECK (length(object_kind) BETWEEN 1 AND 100),
    object_id text NOT NULL CHECK (length(object_id) <= 200),
    object_name text NOT NULL CHECK (length(object_name) <= 300),
    detail jsonb NOT NULL CHECK (pg_column_size(detail) <= 1048576),
    previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (workspace_id, audit_id, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE audit IS 'Every configuration change, hash-chained per workspace: `hash` = sha256 of the previous hash and the entry as audit_hash() writes it. Secrets are named, never shown.';
CREATE TABLE audit_default PARTITION OF audit DEFAULT;
CREATE FUNCTION audit_hash(previous bytea, id bigint, at timestamptz, actor text, action text, object_kind text, object_id text, object_name text, detail jsonb)
RETURNS bytea LANGUAGE sql STABLE
AS $$
    SELECT sha256(previous || convert_to(jsonb_build_array(
        id, (extract(epoch FROM at) * 1000000)::bigint, actor, action, object_kind, object_id, object_name, detail
    )::text, 'UTF8'))
$$;

CREATE TABLE deliveries (
    delivery_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    workspace_id uuid NOT NULL,
    channel text NOT NULL CHECK (length(channel) BETWEEN 1 AND 200),
    event text NOT NULL CHECK (length(event) BETWEEN 1 AND 200),
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz,
    failure jsonb,
    PRIMARY KEY (delivery_id, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE deliveries IS 'Notifications sent or to be sent.';
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;

CREATE TABLE metrics (
    workspace_id uuid NOT NULL,
    definition_id uuid NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    at timestamptz NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (definition_id, name, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE metrics IS 'Figures over time shown in the console.';
CREATE TABLE metrics_default PARTITION OF metrics DEFAULT;
