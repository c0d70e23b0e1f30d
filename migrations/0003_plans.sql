-- Data changes that wait for somebody's word, and messages that wait for the bus.

CREATE TABLE plans (
    plan_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    definition_id uuid NOT NULL REFERENCES definitions ON DELETE CASCADE,
    revision_id uuid NOT NULL,
    run_id uuid NOT NULL,
    generation integer NOT NULL,
    state text NOT NULL CHECK (state IN ('building', 'open', 'approved', 'applied', 'discarded', 'expired')),
    counts jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    expires_at timestamptz
);
COMMENT ON TABLE plans IS 'Saved plans: the data changes a run would make.';
CREATE INDEX plans_of_definition ON plans (definition_id, created_at DESC);

CREATE TABLE plan_rows (
    plan_id uuid NOT NULL REFERENCES plans ON DELETE CASCADE,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    ordinal smallint NOT NULL CHECK (ordinal >= 0),
    kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 100),
    key bytea NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 8192),
    item_id text,
    item_guid uuid,
    before_counter bigint,
    row_version bigint,
    digest bytea,
    columns text[] NOT NULL,
    sealed_values bytea,
    state text NOT NULL CHECK (state IN ('waiting', 'applied', 'outdated', 'refused')),
    PRIMARY KEY (plan_id, identity, ordinal)
);
COMMENT ON TABLE plan_rows IS 'The changes of a saved plan, with the states they rest on; an applied effect must be among them.';

CREATE TABLE approvals (
    approval_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    plan_id uuid NOT NULL REFERENCES plans ON DELETE CASCADE,
    decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    actor text NOT NULL CHECK (length(actor) BETWEEN 1 AND 200),
    remark text CHECK (length(remark) <= 2000),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE approvals IS 'Who approved or rejected which plan.';
CREATE INDEX approvals_of_plan ON approvals (plan_id);

CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 300),
    message_id text NOT NULL UNIQUE CHECK (length(message_id) BETWEEN 1 AND 200),
    payload jsonb NOT NULL CHECK (pg_column_size(payload) <= 65536),
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
COMMENT ON TABLE outbox IS 'Messages for the bus, written in the transaction that makes them true. They carry ids, never values.';
CREATE INDEX outbox_waiting ON outbox (outbox_id) WHERE published_at IS NULL;
