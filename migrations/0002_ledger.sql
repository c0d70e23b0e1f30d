-- What both sides agreed on, the writes under way, and everything known but not yet applied.
--
-- These tables are written in bulk. They hold no foreign keys: checking one for each row would lock the
-- definition's row thousands of times a second. A definition is only deleted by a statement that holds its
-- lease row and empties these tables first.
-- No value of a row is stored in the clear but for key columns; `sealed` columns are closed with the
-- definition's data key.

CREATE TABLE writer_leases (
    definition_id uuid PRIMARY KEY REFERENCES definitions ON DELETE CASCADE,
    epoch bigint NOT NULL CHECK (epoch >= 0),
    holder text CHECK (length(holder) BETWEEN 1 AND 200),
    run_id uuid,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE writer_leases IS 'Who drives a definition. The epoch rises with every acquisition and is checked, with the expiry by this clock, in every writing transaction under FOR KEY SHARE. Taking over locks FOR UPDATE and so waits for writers under way; renewing only changes `expires_at` and waits for nobody.';

CREATE TABLE cursors (
    definition_id uuid NOT NULL REFERENCES definitions ON DELETE CASCADE,
    feed text NOT NULL CHECK (feed IN ('source', 'delta', 'capture')),
    state jsonb NOT NULL CHECK (pg_column_size(state) <= 1048576),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (definition_id, feed)
);
COMMENT ON TABLE cursors IS 'How far each feed was durably taken over: everything before is applied, dirty or quarantined.';

CREATE TABLE layouts (
    definition_id uuid NOT NULL REFERENCES definitions ON DELETE CASCADE,
    stamp bigint NOT NULL,
    fields bigint[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (definition_id, stamp)
);
COMMENT ON TABLE layouts IS 'Which field each pair of hashes in `ledger.agreed` belongs to, for every layout a definition ever used. Stamps are 64-bit patterns, stored as signed numbers.';

CREATE TABLE ledger (
    definition_id uuid NOT NULL,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    workspace_id uuid NOT NULL,
    key bytea NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 8192),
    list_id text NOT NULL,
    item_id text NOT NULL,
    item_guid uuid NOT NULL,
    version bigint NOT NULL CHECK (version >= 0),
    agreed bytea NOT NULL CHECK (octet_length(agreed) BETWEEN 16 AND 65536),
    layout bigint NOT NULL,
    raw_form smallint NOT NULL DEFAULT 1,
    hash_key_id smallint NOT NULL,
    mark_generation integer NOT NULL,
    mark_lsn bigint NOT NULL,
    state smallint NOT NULL CHECK (state IN (1, 2, 3, 4)),
    row_version bigint NOT NULL CHECK (row_version > 0),
    last_run uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (definition_id, identity)
) PARTITION BY HASH (definition_id);
COMMENT ON TABLE ledger IS 'What both sides last agreed on, one row an identity. `agreed`: digest of the source row and two hashes a field in the order of `layout`. `state`: 1 live, 2 tombstone, 3 kept, 4 archived. `version`: the item''s counter. Written only while the subject''s open effect is held, or by compare-and-set on `row_version`.';
DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format('CREATE TABLE ledger_p%s PARTITION OF ledger FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (fillfactor = 90)', part, part);
    END LOOP;
END $$;

CREATE TABLE item_links (
    list_id text NOT NULL,
    item_guid uuid NOT NULL,
    workspace_id uuid NOT NULL,
    definition_id uuid NOT NULL,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    PRIMARY KEY (list_id, item_guid)
);
COMMENT ON TABLE item_links IS 'Which identity a list item belongs to, unique across the ledgers of all definitions.';
CREATE UNIQUE INDEX item_links_of_identity ON item_links (definition_id, identity, list_id);

CREATE TABLE effects (
    effect_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    definition_id uuid NOT NULL,
    run_id uuid NOT NULL,
    identity bytea CHECK (octet_length(identity) = 16),
    old_identity bytea CHECK (octet_length(old_identity) = 16),
    key bytea CHECK (octet_length(key) BETWEEN 1 AND 8192),
    list_id text NOT NULL,
    item_id text,
    item_guid uuid,
    before_counter bigint,
    kind text NOT NULL CHECK (kind IN ('create_item', 'patch_item', 'delete_item')),
    sealed_sent bytea NOT NULL,
    after_agreed bytea NOT NULL CHECK (octet_length(after_agreed) BETWEEN 16 AND 65536),
    after_layout bigint NOT NULL,
    after_generation integer NOT NULL,
    after_lsn bigint NOT NULL,
    epoch bigint NOT NULL,
    generation integer NOT NULL,
    source_xmin bigint,
    source_xid bigint,
    state text NOT NULL CHECK (state IN ('open', 'armed')),
    probes integer NOT NULL DEFAULT 0 CHECK (probes >= 0),
    next_probe_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (identity IS NOT NULL OR item_guid IS NOT NULL),
    CHECK ((item_id IS NULL) = (item_guid IS NULL) AND (item_guid IS NULL) = (before_counter IS NULL))
);
COMMENT ON TABLE effects IS 'External writes, committed before they are sent. `open`: holds its subject and item. `armed`: not applied when last looked at, but it may still land; the subject is free. A closed effect leaves for `ledger_history` in the statement that removes it; what was sent is not kept.';
CREATE UNIQUE INDEX effects_one_open_per_subject ON effects (definition_id, identity) WHERE state = 'open';
CREATE UNIQUE INDEX effects_one_open_per_item ON effects (list_id, item_guid) WHERE state = 'open' AND item_guid IS NOT NULL;
CREATE INDEX effects_unsettled ON effects (definition_id, created_at);

CREATE SEQUENCE dirty_sequence AS bigint;
COMMENT ON SEQUENCE dirty_sequence IS 'Numbers every mark ever made, so that a dirty row that went and came back never repeats a number.';
CREATE TABLE dirty (
    definition_id uuid NOT NULL,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    workspace_id uuid NOT NULL,
    key bytea NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 8192),
    old_identity bytea CHECK (octet_length(old_identity) = 16),
    mark_generation integer NOT NULL,
    mark_lsn bigint NOT NULL,
    xid bigint,
    sequence bigint NOT NULL,
    suspected_delete boolean NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (definition_id, identity)
);
COMMENT ON TABLE dirty IS 'Identities known to have changed and not yet applied. Bounded by rows, not by changes: a new mark raises `sequence`, and after apply a row goes only where it still has the sequence that was read before.';

CREATE TABLE quarantine (
    definition_id uuid NOT NULL,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    workspace_id uuid NOT NULL,
    key bytea NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 8192),
    digest bytea NOT NULL CHECK (octet_length(digest) = 16),
    code text NOT NULL CHECK (length(code) BETWEEN 1 AND 200),
    failure jsonb NOT NULL,
    sealed_values bytea,
    attempts integer NOT NULL CHECK (attempts > 0),
    retry_at timestamptz,
    mark_generation integer NOT NULL,
    mark_lsn bigint NOT NULL,
    suspected_delete boolean NOT NULL,
    run_id uuid NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (definition_id, identity)
);
COMMENT ON TABLE quarantine IS 'Rows that cannot be applied now, with the cause. `digest` is that of the refused source row; `retry_at` null means: needs a person. An entry stays while its row is tried again and goes when the row is applied.';
CREATE INDEX quarantine_due ON quarantine (definition_id, retry_at) WHERE retry_at IS NOT NULL;

CREATE TABLE conflicts (
    conflict_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    definition_id uuid NOT NULL,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    column_name text NOT NULL CHECK (length(column_name) BETWEEN 1 AND 500),
    kind text NOT NULL CHECK (kind IN ('overridden', 'parked')),
    sealed_source bytea NOT NULL,
    sealed_target bytea NOT NULL,
    run_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by text,
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);
COMMENT ON TABLE conflicts IS 'Edits that lost against the other side, or wait for a person, with both values sealed.';
CREATE INDEX conflicts_newest ON conflicts (definition_id, created_at DESC);
CREATE INDEX conflicts_of_identity ON conflicts (definition_id, identity);
