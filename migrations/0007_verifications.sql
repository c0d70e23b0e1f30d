-- What verifications found and how far they are. Ids, hashes and column names only, never a value.

CREATE TABLE verifications (
    verification_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    definition_id uuid NOT NULL REFERENCES definitions ON DELETE CASCADE,
    run_id uuid NOT NULL UNIQUE,
    fingerprint text NOT NULL CHECK (length(fingerprint) BETWEEN 1 AND 2000),
    pages bigint NOT NULL DEFAULT 0 CHECK (pages >= 0),
    next_link text CHECK (length(next_link) <= 16384),
    report jsonb NOT NULL,
    stored bigint NOT NULL DEFAULT 0 CHECK (stored >= 0),
    finished boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE verifications IS 'Comparisons of source, ledger and list, the newest few of each definition. `run_id` is the run that drives it: a later run takes an interrupted one over by putting its own id there, and only with the same `fingerprint` (list, mapping, key range, page size). `next_link` is Graph''s own way to the next page.';
CREATE INDEX verifications_of_definition ON verifications (definition_id, started_at DESC);

CREATE TABLE verification_pages (
    verification_id uuid NOT NULL REFERENCES verifications ON DELETE CASCADE,
    page bigint NOT NULL CHECK (page > 0),
    seen bytea NOT NULL,
    PRIMARY KEY (verification_id, page)
);
COMMENT ON TABLE verification_pages IS 'The items each compared page showed, 25 bytes each: identity, item number, flags. Kept until the verification is finished.';

CREATE TABLE verification_differences (
    verification_id uuid NOT NULL REFERENCES verifications ON DELETE CASCADE,
    ordinal bigint NOT NULL CHECK (ordinal > 0),
    page bigint CHECK (page > 0),
    kind text NOT NULL CHECK (kind IN ('missing', 'orphan', 'differing', 'duplicate', 'wrong_list', 'unreadable')),
    cause text NOT NULL CHECK (cause IN ('list', 'source', 'both', 'neither', 'unknown')),
    explained boolean NOT NULL,
    identity bytea NOT NULL CHECK (octet_length(identity) = 16),
    item_id text CHECK (length(item_id) <= 100),
    columns text[] NOT NULL,
    PRIMARY KEY (verification_id, ordinal)
);
COMMENT ON TABLE verification_differences IS 'Differences in the order in which they were found, up to a bound a verification. `page` is null for those found after the last page.';
