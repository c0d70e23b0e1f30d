-- What a saved plan says beside its changes.

CREATE TABLE plan_remarks (
    plan_id uuid NOT NULL REFERENCES plans ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL CHECK (kind IN ('conflict', 'foreign', 'overridden', 'refused', 'waiting')),
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    key bytea CHECK (octet_length(key) BETWEEN 1 AND 8192),
    column_name text CHECK (length(column_name) BETWEEN 1 AND 500),
    failure jsonb,
    sealed_source bytea,
    sealed_target bytea,
    winner text CHECK (winner IN ('source', 'target')),
    since timestamptz NOT NULL,
    PRIMARY KEY (plan_id, number),
    CHECK ((sealed_source IS NULL) = (sealed_target IS NULL))
);
COMMENT ON TABLE plan_remarks IS 'Rows that a saved plan leaves as they are, with the cause, and edits that are going to lose, with both values sealed as in `conflicts`.';
CREATE UNIQUE INDEX plan_remarks_once ON plan_remarks (plan_id, kind, identity, coalesce(column_name, ''));
