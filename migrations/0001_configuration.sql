-- What people configure. Every row belongs to a workspace and names who wrote it (`created_by`, `updated_by`).
-- Documents are kept whole in `spec`; the columns beside it are those by which rows are found.
--
-- All migrations only go forward: expand first, contract in a later release, so that two neighbouring
-- versions of the services can run on one schema. All instants are timestamptz in UTC.

CREATE TABLE schema_compat (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    schema_version integer NOT NULL CHECK (schema_version > 0),
    oldest_reader integer NOT NULL CHECK (oldest_reader > 0 AND oldest_reader <= schema_version)
);
COMMENT ON TABLE schema_compat IS 'One row: the version of this schema, and the oldest schema version a service must know to use it. A service that knows less, or needs more, refuses to start.';
INSERT INTO schema_compat (schema_version, oldest_reader) VALUES (1, 1);

CREATE TABLE workspaces (
    workspace_id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200)
);
COMMENT ON TABLE workspaces IS 'The outermost scope of names, rights and budgets. One exists from the start.';
INSERT INTO workspaces (workspace_id, name, created_by)
VALUES ('01920000-0000-7000-8000-000000000001', 'default', 'migration');

CREATE TABLE applications (
    application_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    spec jsonb NOT NULL CHECK (pg_column_size(spec) <= 1048576),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL CHECK (length(updated_by) BETWEEN 1 AND 200),
    UNIQUE (workspace_id, name)
);
COMMENT ON TABLE applications IS 'Who owns a group of databases and definitions.';

CREATE TABLE databases (
    database_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    application_id uuid REFERENCES applications,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    spec jsonb NOT NULL CHECK (pg_column_size(spec) <= 1048576),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL CHECK (length(updated_by) BETWEEN 1 AND 200),
    UNIQUE (workspace_id, name)
);
COMMENT ON TABLE databases IS 'Logical source databases.';

CREATE TABLE instances (
    instance_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    database_id uuid NOT NULL REFERENCES databases,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    spec jsonb NOT NULL CHECK (pg_column_size(spec) <= 1048576),
    system_identifier text CHECK (length(system_identifier) <= 64),
    timeline bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL CHECK (length(updated_by) BETWEEN 1 AND 200),
    UNIQUE (workspace_id, name)
);
COMMENT ON TABLE instances IS 'Physical endpoints of a database: host, role, priority. `system_identifier` and `timeline` are those last seen, by which a restored or cloned server is noticed.';
CREATE INDEX instances_of_database ON instances (database_id);

CREATE TABLE connections (
    connection_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    spec jsonb NOT NULL CHECK (pg_column_size(spec) <= 1048576),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL CHECK (length(updated_by) BETWEEN 1 AND 200),
    UNIQUE (workspace_id, name)
);
COMMENT ON TABLE connections IS 'Graph tenants and app registrations. Credentials are in `secrets`, never here.';

CREATE TABLE definitions (
    definition_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    namespace text NOT NULL CHECK (length(namespace) BETWEEN 1 AND 500),
    spec jsonb NOT NULL CHECK (pg_column_size(spec) <= 1048576),
    revision_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused')),
    generation integer NOT NULL DEFAULT 1 CHECK (generation >= 0),
    data_key bytea NOT NULL,
    site_id text CHECK (length(site_id) BETWEEN 1 AND 1000),
    list_id text CHECK (length(list_id) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL CHECK (length(updated_by) BETWEEN 1 AND 200),
    UNIQUE (workspace_id, name),
    CHECK ((site_id IS NULL) = (list_id IS NULL))
);
COMMENT ON TABLE definitions IS 'Syncs. `namespace` enters every identity and never changes; `generation` rises when positions of the source stop being comparable; `data_key` is sealed by the master key and seals all values of this definition; `site_id` and `list_id` are set once the list is provisioned.';
CREATE UNIQUE INDEX definitions_one_owner ON definitions (list_id, namespace) WHERE list_id IS NOT NULL;

CREATE TABLE revisions (
    revision_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    definition_id uuid NOT NULL REFERENCES definitions ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    name text NOT NULL,
    spec jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    UNIQUE (definition_id, number)
);
COMMENT ON TABLE revisions IS 'Every version a definition ever had. Rows are never changed.';
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER revisions_are_immutable BEFORE UPDATE ON revisions FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE secrets (
    secret_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 300),
    host text NOT NULL CHECK (length(host) <= 500),
    authority text NOT NULL CHECK (length(authority) <= 500),
    client_id text NOT NULL CHECK (length(client_id) <= 500),
    sealed bytea NOT NULL CHECK (octet_length(sealed) BETWEEN 1 AND 65536),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL CHECK (length(updated_by) BETWEEN 1 AND 200),
    UNIQUE (workspace_id, name)
);
COMMENT ON TABLE secrets IS 'Credentials, sealed by the master key. Each is bound to the host, authority and client id it was entered for and does not open for others, so that a changed address cannot carry it away.';

CREATE TABLE hash_keys (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    hash_key_id smallint NOT NULL CHECK (hash_key_id > 0),
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    PRIMARY KEY (workspace_id, hash_key_id)
);
COMMENT ON TABLE hash_keys IS 'The secret behind identities, sync keys and field hashes, sealed by the master key. Part of every backup and never rotated in place: without it no ledger row and no list item is recognised.';

CREATE TABLE principals (
    principal_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    kind text NOT NULL CHECK (kind IN ('person', 'token', 'service')),
    spec jsonb NOT NULL,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL CHECK (length(updated_by) BETWEEN 1 AND 200),
    UNIQUE (workspace_id, kind, name)
);
COMMENT ON TABLE principals IS 'People, tokens and services that may act.';

CREATE TABLE role_bindings (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    principal_id uuid NOT NULL REFERENCES principals ON DELETE CASCADE,
    role text NOT NULL CHECK (length(role) BETWEEN 1 AND 100),
    scope text NOT NULL CHECK (scope IN ('workspace', 'application')),
    scope_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
    PRIMARY KEY (workspace_id, principal_id, role, scope, scope_id)
);
COMMENT ON TABLE role_bindings IS 'Which principal has which role in which workspace or application.';
