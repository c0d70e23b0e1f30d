-- Fields that come back changed after our own writes of them, so that a fight with a flow or a trigger is ended.

CREATE TABLE field_turns (
    definition_id uuid NOT NULL,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    column_name text NOT NULL CHECK (length(column_name) BETWEEN 1 AND 500),
    workspace_id uuid NOT NULL,
    side text NOT NULL CHECK (side IN ('source', 'target')),
    returns integer NOT NULL CHECK (returns >= 0),
    since timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (definition_id, identity, column_name)
);
COMMENT ON TABLE field_turns IS 'Fields that were written to both sides, or restored: which side was written last and how often the field came back since `since`. A field over the limit of its definition is left to a person, whose decision takes the row away. Ordinary writes leave no row.';
