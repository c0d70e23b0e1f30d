-- Which life of its source, and of this memory itself, a definition last saw: one that goes on from an earlier moment
-- than that is noticed before anything is written.

CREATE TABLE lives (
    definition_id uuid PRIMARY KEY REFERENCES definitions ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    identifier text CHECK (length(identifier) BETWEEN 1 AND 40),
    timeline integer CHECK (timeline > 0),
    durable_lsn bigint NOT NULL CHECK (durable_lsn >= 0),
    memory text CHECK (length(memory) BETWEEN 1 AND 200),
    written_since timestamptz NOT NULL DEFAULT '-infinity',
    noted_at timestamptz NOT NULL
);
COMMENT ON TABLE lives IS 'Noted at the end of each run that came to its end. `identifier`, `timeline` and `durable_lsn`: of the source''s cluster. `memory`: cluster, timeline, database and tables that this very row was written in. `written_since`: source writes from before are of an earlier life.';

ALTER TABLE ledger_history ADD COLUMN source_xid bigint;
COMMENT ON COLUMN ledger_history.source_xid IS 'The transaction that wrote the row in the source, where the table can tell: as long as the source lives on, the row is at least as new.';
CREATE INDEX ledger_history_source_writes ON ledger_history (definition_id, source_xid DESC)
    WHERE source_xid IS NOT NULL;
